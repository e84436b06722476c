//! What to ask of the engine, and when: the live lane follows every change, the teacher waits for a pause.

use std::time::{Duration, Instant};

use instaflow_engine::protocol::{Lane, Request, Role, Settings};

use super::App;

/// Seconds without a change after which the teacher starts.
const PAUSE: f64 = 0.4;

impl App {
    /// What a lane should show.
    pub(crate) fn wanted(&self, lane: Lane) -> Settings {
        let controls = &self.controls;
        let role = if lane == Lane::Teacher { Role::Teacher } else { self.live_role() };
        let plain = Settings {
            seed: controls.seed,
            size: controls.size,
            decoder: controls.decoder,
            ..Settings::student(controls.prompt.clone())
        };
        match role {
            Role::Student => plain,
            Role::Teacher => Settings {
                role,
                negative_prompt: controls.negative_prompt.clone(),
                steps: controls.steps,
                guidance: controls.guidance,
                ..plain
            },
        }
    }

    /// Draws what is set now, even where live drawing is off.
    pub(crate) fn draw_now(&mut self, ctx: &egui::Context) {
        self.live.sent = None;
        self.send_live();
        if self.comparing() {
            self.teacher.sent = Some(self.wanted(Lane::Teacher));
            self.teacher_due = Some(ctx.time());
        }
    }

    /// Stops both lanes; what stands in the field is not drawn again before it changes.
    pub(crate) fn stop(&mut self) {
        self.teacher_due = None;
        self.engine.send(Request::Stop(Lane::Live));
        self.engine.send(Request::Stop(Lane::Teacher));
    }

    /// Sends what has changed since the last frame.
    pub(super) fn follow(&mut self, ctx: &egui::Context) {
        if self.counted.as_deref() != Some(self.controls.prompt.as_str()) && self.model.is_some() {
            self.counted = Some(self.controls.prompt.clone());
            self.engine.send(Request::CountTokens(self.controls.prompt.clone()));
        }
        if self.controls.live {
            self.send_live();
        }
        self.follow_teacher(ctx);
        // What a request ends at once waits among the events without a call of the engine's waker.
        if !self.engine.events().is_empty() {
            ctx.request_repaint();
        }
    }

    /// Sends the live lane's job unless it was sent already.
    fn send_live(&mut self) {
        let wanted = self.wanted(Lane::Live);
        if self.ready() && self.live.sent.as_ref() != Some(&wanted) {
            self.send(Lane::Live, wanted);
        }
    }

    fn follow_teacher(&mut self, ctx: &egui::Context) {
        if !self.ready() {
            return;
        }
        if !self.comparing() {
            if self.teacher.sent.take().is_some() {
                self.teacher_due = None;
                self.engine.send(Request::Stop(Lane::Teacher));
            }
            return;
        }
        let wanted = self.wanted(Lane::Teacher);
        let now = ctx.time();
        if self.teacher.sent.as_ref() != Some(&wanted) {
            // Comparing begins at once; afterwards a change ends the run and waits for a pause.
            let begins = self.teacher.sent.is_none();
            self.engine.send(Request::Stop(Lane::Teacher));
            self.teacher.sent = Some(wanted);
            self.teacher_due = match (begins, self.controls.live) {
                (true, _) => Some(now),
                (false, true) => Some(now + PAUSE),
                (false, false) => None,
            };
        }
        match self.teacher_due {
            Some(due) if now >= due => {
                self.teacher_due = None;
                let wanted = self.wanted(Lane::Teacher);
                self.send(Lane::Teacher, wanted);
            }
            Some(due) => ctx.request_repaint_after(Duration::from_secs_f64(due - now)),
            None => {}
        }
    }

    fn ready(&self) -> bool {
        self.model.is_some() && self.opening.is_none() && !self.engine_ended
    }

    fn send(&mut self, lane: Lane, settings: Settings) {
        let id = self.new_id();
        let asked = Instant::now();
        self.under_way.insert(id, (lane, asked));
        let pane = self.pane_mut(lane);
        pane.sent = Some(settings.clone());
        pane.latest = Some(id);
        self.engine.send(Request::Draw { id, lane, settings, asked });
    }
}
