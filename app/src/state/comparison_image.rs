//! Student, teacher, perhaps the baseline, and their difference as one labelled picture. Change what is on it in
//! [`App::comparison_image`], and its layout in [`ComparisonImage::compose`].

use egui::{Color32, FontId};
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use instaflow_engine::protocol::{Picture, Settings};

use super::{App, Distance, PaneId, duration, summary};
use crate::theme::{heat, tokens};

/// Pixels across that each picture has at least.
const SIDE: u32 = 480;
/// Pixels around everything, and between the pictures.
const MARGIN: u32 = 36;
const GAP: u32 = 18;
/// Sizes of the words in pixels.
const TITLE: f32 = 30.0;
const CAPTION: f32 = 20.0;

/// Everything that stands on the picture; made where the fonts are, composed elsewhere.
pub struct ComparisonImage {
    student: Picture,
    teacher: Picture,
    baseline: Option<Picture>,
    distance: Distance,
    factor: u32,
    ink: Color32,
    muted: Color32,
    ground: Color32,
    title: Words,
    /// Under the pictures, from left to right.
    captions: Vec<Words>,
    numbers: Words,
}

/// Words as a mask: how much ink each pixel has.
struct Words {
    width: u32,
    height: u32,
    ink: Vec<u8>,
}

impl App {
    /// The comparison as it stands, or why there is none.
    pub(super) fn comparison_image(&self, ctx: &egui::Context) -> Result<ComparisonImage, &'static str> {
        if let Some(reason) = self.models.no_comparison() {
            return Err(reason);
        }
        let wait = "First use Compare, and wait for the teacher's picture.";
        let both = self.panes.live.finished && self.panes.teacher.finished;
        let (Some(student), Some(teacher)) = (&self.panes.live.picture, &self.panes.teacher.picture) else {
            return Err(wait);
        };
        if !both || !self.panes.teacher.shows(&student.settings) {
            return Err(wait);
        }
        let distance =
            super::distance(student, teacher).ok_or("Student and teacher draw pictures of different sizes.")?;
        let baseline = self.panes.baseline.picture.as_ref().filter(|_| self.beside(PaneId::Baseline));
        if let Some(picture) = baseline {
            if !self.panes.baseline.finished || !self.panes.baseline.shows(&student.settings) {
                return Err("Wait for the baseline's picture, or hide it first.");
            }
            if (picture.width, picture.height) != (student.width, student.height) {
                return Err("Student and baseline draw pictures of different sizes: hide the baseline first.");
            }
        }
        let factor = SIDE.div_ceil(student.width).max(1);
        let side = (student.width * factor) as f32;
        let columns = if baseline.is_some() { 4 } else { 3 };
        let across = side * columns as f32 + (GAP * (columns - 1)) as f32;
        let scale = if distance.scale < 255 { format!("{} and more", distance.scale) } else { "255".to_owned() };
        let settings = &teacher.settings;
        let prompt = if settings.prompt.trim().is_empty() { "(no prompt)" } else { settings.prompt.trim() };
        let title = match &settings.blend.prompt {
            Some(toward) => format!("{prompt}  →  {} ({:.0} %)", toward.to.trim(), toward.by * 100.0),
            None => prompt.to_owned(),
        };
        let psnr = if distance.psnr.is_finite() { format!("{:.1} dB", distance.psnr) } else { "equal".to_owned() };
        let straight = teacher.straightness.map_or(String::new(), |s| format!("   straightness {s:.1}"));
        let ratio = teacher.timings.total / student.timings.total.max(1e-9);
        let numbers = format!(
            "seed {}   guidance {}   {}x{}   {}   time {} and {} (1 : {ratio:.0})   PSNR {psnr}   GMSD {:.3}{straight}",
            settings.seed,
            settings.guidance,
            student.width,
            student.height,
            teacher.model,
            duration(student.timings.total),
            duration(teacher.timings.total),
            distance.gmsd,
        );
        let dark = ctx.theme() == egui::Theme::Dark;
        let palette = tokens().palette(dark);
        let words = |text: &str, pixels: f32, width: f32| Words::set(ctx, text, pixels, width);
        Ok(ComparisonImage {
            factor,
            ink: palette.text(),
            muted: palette.muted,
            ground: palette.canvas,
            title: words(&title, TITLE, across),
            captions: [format!("Student: {}", summary(student)), format!("Teacher: {}", summary(teacher))]
                .into_iter()
                .chain(baseline.map(|baseline| of_baseline(student, baseline)))
                .chain([format!("Difference of student and teacher: black 0, white {scale} of 255")])
                .map(|caption| words(&caption, CAPTION, side))
                .collect(),
            numbers: words(&numbers, CAPTION, across),
            student: student.clone(),
            teacher: teacher.clone(),
            baseline: baseline.cloned(),
            distance,
        })
    }

    /// The name of the lane whose picture is chosen for saving.
    pub(crate) fn chosen_pane(&self) -> PaneId {
        if self.beside(self.side_by_side.chosen) { self.side_by_side.chosen } else { PaneId::Live }
    }
}

/// What the line of numbers says of the teacher, said of the baseline.
fn of_baseline(student: &Picture, baseline: &Picture) -> String {
    let Settings { guidance, sampler, .. } = &baseline.settings;
    let (model, sampler) = (&baseline.model, sampler.unwrap_or_default().name());
    let apart = super::distance(student, baseline).map(|d| format!("   PSNR {:.1} dB   GMSD {:.3}", d.psnr, d.gmsd));
    let straight = baseline.straightness.map(|s| format!("   straightness {s:.1}"));
    let numbers = apart.unwrap_or_default() + &straight.unwrap_or_default();
    format!("Baseline: {}   {model}, {sampler}, guidance {guidance}{numbers}", summary(baseline))
}

impl ComparisonImage {
    /// The prompt it is of.
    pub fn prompt(&self) -> &str {
        &self.teacher.settings.prompt
    }

    /// The finished picture. Its settings are the teacher's, which say all that the student's say and more.
    pub fn compose(self) -> Picture {
        let (width, height) = (self.student.width * self.factor, self.student.height * self.factor);
        let captions = self.captions.iter().map(|words| words.height).max().unwrap_or(0);
        let columns = self.captions.len() as u32;
        let across = 2 * MARGIN + columns * width + (columns - 1) * GAP;
        let top = MARGIN + self.title.height + GAP;
        let down = top + height + GAP / 2 + captions + GAP + self.numbers.height + MARGIN;
        let mut sheet = RgbImage::from_pixel(across, down, Rgb([self.ground.r(), self.ground.g(), self.ground.b()]));
        self.title.paint(&mut sheet, MARGIN, MARGIN, self.ink);
        let scale = f32::from(self.distance.scale);
        let map: Vec<u8> = (self.distance.map.iter())
            .flat_map(|value| {
                let colour = heat(f32::from(*value) / scale);
                [colour.r(), colour.g(), colour.b()]
            })
            .collect();
        let drawn = [Some(&self.student), Some(&self.teacher), self.baseline.as_ref()];
        let pictures = drawn.into_iter().flatten().map(|picture| picture.rgb.to_vec()).chain([map]);
        for (column, (rgb, caption)) in (0..).zip(pictures.zip(&self.captions)) {
            let left = MARGIN + column * (width + GAP);
            let picture = RgbImage::from_raw(self.student.width, self.student.height, rgb);
            let picture = picture.expect("both pictures have one size");
            let picture = resize(&picture, width, height, FilterType::Triangle);
            image::imageops::replace(&mut sheet, &picture, i64::from(left), i64::from(top));
            caption.paint(&mut sheet, left, top + height + GAP / 2, self.ink);
        }
        self.numbers.paint(&mut sheet, MARGIN, top + height + GAP / 2 + captions + GAP, self.muted);
        Picture { width: across, height: down, rgb: sheet.into_raw().into(), latents: None, ..self.teacher }
    }
}

impl Words {
    /// Sets words `pixels` high in the window's font, broken where they would be wider than `width` pixels.
    fn set(ctx: &egui::Context, text: &str, pixels: f32, width: f32) -> Self {
        let per_point = ctx.pixels_per_point();
        let font = FontId::proportional(pixels / per_point);
        let (galley, atlas) = ctx.fonts_mut(|fonts| {
            let galley = fonts.layout(text.to_owned(), font, Color32::WHITE, width / per_point);
            (galley, fonts.image())
        });
        let whole = |points: f32| (points * per_point).round() as i64;
        let (width, height) = (whole(galley.size().x).max(1) as u32, whole(galley.size().y).max(1) as u32);
        let mut ink = vec![0; (width * height) as usize];
        for row in &galley.rows {
            for glyph in &row.row.glyphs {
                let corner = row.pos + glyph.pos.to_vec2() + glyph.uv_rect.offset;
                let (left, top) = (whole(corner.x), whole(corner.y));
                for y in glyph.uv_rect.min[1]..glyph.uv_rect.max[1] {
                    for x in glyph.uv_rect.min[0]..glyph.uv_rect.max[0] {
                        let texel = atlas.pixels[usize::from(y) * atlas.size[0] + usize::from(x)];
                        let at =
                            (left + i64::from(x - glyph.uv_rect.min[0]), top + i64::from(y - glyph.uv_rect.min[1]));
                        if (0..i64::from(width)).contains(&at.0) && (0..i64::from(height)).contains(&at.1) {
                            let value = &mut ink[at.1 as usize * width as usize + at.0 as usize];
                            *value = texel.a().max(*value);
                        }
                    }
                }
            }
        }
        Self { width, height, ink }
    }

    fn paint(&self, sheet: &mut RgbImage, left: u32, top: u32, colour: Color32) {
        for (at, ink) in (0..).zip(&self.ink) {
            let (x, y) = (left + at % self.width, top + at / self.width);
            if let Some(pixel) = sheet.get_pixel_mut_checked(x, y) {
                for (value, target) in pixel.0.iter_mut().zip([colour.r(), colour.g(), colour.b()]) {
                    let part = f32::from(*ink) / 255.0;
                    *value = (f32::from(*value) * (1.0 - part) + f32::from(target) * part).round() as u8;
                }
            }
        }
    }
}
