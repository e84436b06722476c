//! What to ask of the engine, and when: the live lane follows every change; teacher and baseline wait for a pause.

use std::time::{Duration, Instant};

use instaflow_engine::protocol::{Lane, Request, Role, Settings};

use super::{App, PaneId};

impl App {
    /// What a lane should show.
    pub(crate) fn wanted(&self, lane: PaneId) -> Settings {
        let controls = &self.controls;
        let role = match lane {
            PaneId::Live => self.live_role(),
            PaneId::Teacher => Role::Teacher,
            PaneId::Baseline => Role::Baseline,
        };
        let plain = Settings {
            seed: controls.recipe.seed,
            size: controls.recipe.size,
            decoder: self.live_decoder(),
            blend: controls.recipe.blend(),
            ..Settings::student(controls.recipe.prompt.clone())
        };
        match role {
            Role::Student => plain,
            Role::Baseline => self.baselines(plain),
            Role::Teacher => Settings {
                role,
                negative_prompt: controls.recipe.negative_prompt.clone(),
                steps: controls.recipe.steps,
                guidance: controls.recipe.guidance,
                sampler: self.sampler(self.model.as_ref().and_then(|model| model.teacher.as_ref())),
                ..plain
            },
        }
    }

    /// Draws what is set now, even where live drawing is off.
    pub(crate) fn draw_now(&mut self, ctx: &egui::Context) {
        self.live.sent = None;
        self.live.due = Some(ctx.time());
        for lane in self.others() {
            let wanted = self.wanted(lane);
            let pane = self.pane_mut(lane);
            (pane.sent, pane.due) = (Some(wanted), Some(ctx.time()));
        }
        self.want_batch();
        self.batch.due = (!self.batch.wanted.is_empty()).then(|| ctx.time());
    }

    /// Stops all lanes; what stands in the field is not drawn again before it changes.
    pub(crate) fn stop(&mut self) {
        (self.live.due, self.teacher.due, self.baseline.due) = (None, None, None);
        self.batch.due = None;
        self.batch.drawing = None;
        for lane in Lane::ALL {
            self.engine.send(Request::Stop(lane));
        }
        self.engine.send(Request::StopDecoding);
    }

    /// Sends what has changed since the last frame.
    pub(super) fn follow(&mut self, ctx: &egui::Context) {
        if self.counted.as_deref() != Some(self.controls.recipe.prompt.as_str()) && self.model.is_some() {
            self.counted = Some(self.controls.recipe.prompt.clone());
            self.engine.send(Request::CountTokens(self.controls.recipe.prompt.clone()));
        }
        if self.controls.live || self.live.due.is_some() {
            self.send_live();
        }
        if self.ready() {
            self.follow_batch(ctx);
            self.follow_beside(ctx, PaneId::Teacher);
            self.follow_beside(ctx, PaneId::Baseline);
        }
        self.measure();
        // What a request ends at once waits among the events without a call of the engine's waker.
        if !self.engine.events().is_empty() {
            ctx.request_repaint();
        }
    }

    /// Sends the live lane's job unless it was sent already.
    fn send_live(&mut self) {
        let wanted = self.wanted(PaneId::Live);
        if self.ready() && self.live.sent.as_ref() != Some(&wanted) {
            self.live.due = None;
            self.send(PaneId::Live, wanted);
        }
    }

    /// Lets a lane that stands beside the student follow with a pause.
    fn follow_beside(&mut self, ctx: &egui::Context, lane: PaneId) {
        if !self.beside(lane) {
            let pane = self.pane_mut(lane);
            if pane.sent.take().is_some() {
                pane.due = None;
                self.engine.send(Request::Stop(lane.lane()));
            }
            return;
        }
        let wanted = self.wanted(lane);
        let now = ctx.time();
        if self.pane(lane).sent.as_ref() != Some(&wanted) {
            // Comparing begins at once; afterwards a change ends the run and waits for a pause.
            let begins = self.pane(lane).sent.is_none();
            self.engine.send(Request::Stop(lane.lane()));
            self.scrub = None;
            let due = match (begins, self.controls.live) {
                (true, _) => Some(now),
                (false, true) => Some(now + f64::from(self.controls.pause)),
                (false, false) => None,
            };
            let pane = self.pane_mut(lane);
            (pane.sent, pane.due) = (Some(wanted.clone()), due);
        }
        match self.pane(lane).due {
            Some(due) if now >= due => {
                self.pane_mut(lane).due = None;
                self.send(lane, wanted);
            }
            Some(due) => ctx.request_repaint_after(Duration::from_secs_f64(due - now)),
            None => {}
        }
    }

    /// Has the student measured against another where both are new and of the same input.
    fn measure(&mut self) {
        if self.measuring || !self.live.shows(&self.wanted(PaneId::Live)) {
            return;
        }
        for lane in self.others() {
            let (Some(student), Some(other)) = (&self.live.picture, self.seen(lane)) else { continue };
            if self.comparison(lane).is_none() && self.pane(lane).shows(&self.wanted(lane)) {
                self.jobs.measure(lane, student.clone(), other.clone());
                self.measuring = true;
                return;
            }
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.model.is_some() && self.opening.is_none() && !self.engine_ended
    }

    fn send(&mut self, lane: PaneId, settings: Settings) {
        let id = self.new_id();
        let asked = Instant::now();
        self.under_way.insert(id, (lane.lane(), asked));
        let pane = self.pane_mut(lane);
        pane.sent = Some(settings.clone());
        pane.latest = Some(id);
        self.engine.send(Request::Draw { id, lane: lane.lane(), settings, asked });
    }
}
