//! One picture on screen and the job that draws it. Change what a pane remembers of its pictures here.

use std::time::Instant;

use egui::{ColorImage, Rect, TextureHandle, TextureOptions, Vec2};
use instaflow_engine::protocol::{JobId, Lane, Picture, Settings};

/// Which of the pictures that are drawn from the controls: each has a lane of the engine and a [`Pane`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaneId {
    /// The picture that follows the keyboard: the student's, or the teacher's if only a teacher is open.
    Live,
    /// The teacher's, beside the student's.
    Teacher,
    /// The baseline's, beside the student's.
    Baseline,
}

impl PaneId {
    /// The pane that shows what this lane draws; `None` for lanes whose pictures go elsewhere.
    pub fn of(lane: Lane) -> Option<Self> {
        match lane {
            Lane::Live => Some(Self::Live),
            Lane::Teacher => Some(Self::Teacher),
            Lane::Baseline => Some(Self::Baseline),
            Lane::Batch | Lane::Background => None,
        }
    }

    /// The lane that draws for it.
    pub fn lane(self) -> Lane {
        match self {
            Self::Live => Lane::Live,
            Self::Teacher => Lane::Teacher,
            Self::Baseline => Lane::Baseline,
        }
    }
}

/// What one lane shows.
pub struct Pane {
    /// The last picture: an estimate while a run of several steps is under way.
    pub picture: Option<Picture>,
    /// Whether `picture` is final.
    pub finished: bool,
    /// Seconds from the request to the picture on screen.
    pub latency: Option<f64>,
    /// The job that runs.
    pub run: Option<Run>,
    /// What was last sent, so that it is sent once.
    pub sent: Option<Settings>,
    /// The last request's number.
    pub latest: Option<JobId>,
    /// When a pause is long enough for it to be sent, in egui's time; in the live lane, that it was asked for by hand.
    pub due: Option<f64>,
    /// Where the pane is on screen, and the picture's size in pixels.
    pub place: Option<(Rect, Vec2)>,
    /// The run's estimates of its final picture so far, in the order of its steps.
    pub trail: Vec<Estimate>,
    /// The last final picture and its trail, which those of another run may stand before.
    last: Option<(Picture, Vec<Estimate>)>,
    texture: Option<TextureHandle>,
    name: &'static str,
}

/// The panes of the window.
pub(crate) struct Panes {
    pub live: Pane,
    pub teacher: Pane,
    pub baseline: Pane,
}

impl Default for Panes {
    fn default() -> Self {
        Self { live: Pane::new("student"), teacher: Pane::new("teacher"), baseline: Pane::new("baseline") }
    }
}

impl Panes {
    pub fn get(&self, pane: PaneId) -> &Pane {
        match pane {
            PaneId::Live => &self.live,
            PaneId::Teacher => &self.teacher,
            PaneId::Baseline => &self.baseline,
        }
    }

    pub fn get_mut(&mut self, pane: PaneId) -> &mut Pane {
        match pane {
            PaneId::Live => &mut self.live,
            PaneId::Teacher => &mut self.teacher,
            PaneId::Baseline => &mut self.baseline,
        }
    }
}

/// What a step took the final picture to be.
#[derive(Clone)]
pub struct Estimate {
    /// Steps done, from 1.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
    /// The picture.
    pub picture: Picture,
    /// The picture on the GPU.
    pub texture: TextureHandle,
}

/// A job under way.
pub struct Run {
    /// Which.
    pub id: JobId,
    /// Since when (for one that gave way: since it began again).
    pub began: Instant,
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
}

impl Pane {
    /// An empty pane; `name` is for the graphics debugger.
    pub fn new(name: &'static str) -> Self {
        Self {
            picture: None,
            finished: false,
            latency: None,
            run: None,
            sent: None,
            latest: None,
            due: None,
            place: None,
            trail: Vec::new(),
            last: None,
            texture: None,
            name,
        }
    }

    /// Puts the final picture of a run on screen.
    pub fn show(&mut self, ctx: &egui::Context, picture: Picture) {
        let image = pixels(ctx, &picture);
        match &mut self.texture {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.texture = Some(ctx.load_texture(self.name, image, TextureOptions::LINEAR)),
        }
        self.last = Some((picture.clone(), self.trail.clone()));
        self.picture = Some(picture);
        self.finished = true;
    }

    /// Puts an estimate on screen and keeps it for the trail.
    pub fn show_estimate(&mut self, ctx: &egui::Context, done: u32, total: u32, picture: Picture) {
        let texture = ctx.load_texture(self.name, pixels(ctx, &picture), TextureOptions::LINEAR);
        self.trail.push(Estimate { done, total, picture: picture.clone(), texture: texture.clone() });
        self.texture = Some(texture);
        self.picture = Some(picture);
        self.finished = false;
    }

    /// Puts the last final picture back on screen: the engine says that it still stands.
    pub fn show_last(&mut self, ctx: &egui::Context) {
        self.restore_trail();
        if let Some((picture, trail)) = self.last.clone().filter(|_| !self.finished) {
            self.texture = None;
            self.trail = trail;
            self.show(ctx, picture);
        }
    }

    /// Puts the trail back that a run has cleared which came to no estimate of its own.
    pub fn restore_trail(&mut self) {
        if self.run.is_none() && self.finished && self.trail.is_empty() {
            self.trail = self.last.as_ref().map(|(_, trail)| trail.clone()).unwrap_or_default();
        }
    }

    /// Takes the picture away.
    pub fn clear(&mut self) {
        *self = Self::new(self.name);
    }

    /// The picture on the GPU.
    pub fn texture(&self) -> Option<&TextureHandle> {
        self.texture.as_ref()
    }

    /// Whether the picture answers to `wanted`'s prompt, seed and size.
    pub fn shows(&self, wanted: &Settings) -> bool {
        self.picture.as_ref().is_some_and(|picture| {
            let drawn = &picture.settings;
            let same_size = wanted.size.is_none() || wanted.size == drawn.size;
            (&drawn.prompt, drawn.seed, &drawn.blend) == (&wanted.prompt, wanted.seed, &wanted.blend) && same_size
        })
    }
}

impl Run {
    /// Seconds left, once a step was measured.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.total.checked_sub(self.done)?;
        (self.done > 0).then(|| self.began.elapsed().as_secs_f64() / f64::from(self.done) * f64::from(left))
    }
}

/// A picture as egui takes it.
fn pixels(ctx: &egui::Context, picture: &Picture) -> ColorImage {
    fitting(ctx, ColorImage::from_rgb([picture.width as usize, picture.height as usize], &picture.rgb))
}

/// An image that the graphics adapter takes: of one with a longer side than that, every other pixel, or fewer.
pub(super) fn fitting(ctx: &egui::Context, image: ColorImage) -> ColorImage {
    let most = ctx.input(|input| input.max_texture_side);
    let [width, height] = image.size;
    let step = width.max(height).div_ceil(most);
    if step <= 1 {
        return image;
    }
    let rows = image.pixels.chunks_exact(width).step_by(step);
    let pixels = rows.flat_map(|row| row.iter().step_by(step).copied()).collect();
    ColorImage::new([width.div_ceil(step), height.div_ceil(step)], pixels)
}

#[cfg(test)]
mod tests {
    use egui::Color32;

    use super::*;

    fn picture(seed: u64) -> Picture {
        Picture::new(1, 1, vec![0; 3].into(), Settings { seed, ..Settings::student("lake") })
    }

    #[test]
    fn a_run_that_came_to_nothing_leaves_the_trail_of_the_one_before() {
        let ctx = egui::Context::default();
        let mut pane = Pane::new("test");
        pane.show_estimate(&ctx, 1, 2, picture(1));
        pane.show(&ctx, picture(2));
        pane.trail.clear();
        pane.run = Some(Run { id: JobId(1), began: Instant::now(), done: 0, total: 2 });
        pane.restore_trail();
        assert!(pane.trail.is_empty(), "another has begun");
        pane.run = None;
        pane.restore_trail();
        assert_eq!(pane.trail.len(), 1);
    }

    #[test]
    fn a_side_longer_than_the_adapter_takes_is_thinned_out() {
        let ctx = egui::Context::default();
        let most = ctx.input(|input| input.max_texture_side);
        let size = [2 * most + 1, 4];
        let pixels = (0..size[0] * size[1]).map(|at| Color32::from_gray((at % 251) as u8)).collect::<Vec<_>>();
        let image = fitting(&ctx, ColorImage::new(size, pixels.clone()));
        assert_eq!(image.size, [size[0].div_ceil(3), 2]);
        assert_eq!(image.pixels[image.size[0] + 5], pixels[3 * size[0] + 15]);
        let small = fitting(&ctx, ColorImage::new([most, 1], pixels[..most].to_vec()));
        assert_eq!(small.size, [most, 1]);
    }
}
