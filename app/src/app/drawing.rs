//! What to ask of the engine, and when: the live lane follows every change, the teacher waits for a pause.

use std::time::{Duration, Instant};

use instaflow_engine::protocol::{Blend, Lane, Request, Role, Settings, Toward};

use super::{App, Show};

impl App {
    /// What a lane should show.
    pub(crate) fn wanted(&self, lane: Lane) -> Settings {
        let controls = &self.controls;
        let role = if lane == Lane::Teacher { Role::Teacher } else { self.live_role() };
        let plain = Settings {
            seed: controls.seed,
            size: controls.size,
            decoder: self.live_decoder(),
            blend: self.blend(),
            ..Settings::student(controls.prompt.clone())
        };
        match role {
            Role::Student => plain,
            Role::Teacher | Role::Baseline => Settings {
                role,
                negative_prompt: controls.negative_prompt.clone(),
                steps: controls.steps,
                guidance: controls.guidance,
                ..plain
            },
        }
    }

    /// What lies between: nothing where a slider is at its beginning, so that equal pictures have equal settings.
    fn blend(&self) -> Blend {
        let controls = &self.controls;
        let words = controls.second_prompt.trim();
        let seed = (controls.seed_mix > 0.0).then_some(Toward { to: controls.second_seed, by: controls.seed_mix });
        let prompt = (controls.prompt_mix > 0.0 && !words.is_empty())
            .then(|| Toward { to: controls.second_prompt.clone(), by: controls.prompt_mix });
        Blend { prompt, seed }
    }

    /// Draws what is set now, even where live drawing is off.
    pub(crate) fn draw_now(&mut self, ctx: &egui::Context) {
        self.live.sent = None;
        self.send_live();
        if self.comparing() {
            self.teacher.sent = Some(self.wanted(Lane::Teacher));
            self.teacher_due = Some(ctx.time());
        }
        self.want_sheet();
        self.sheet.due = (!self.sheet.wanted.is_empty()).then(|| ctx.time());
    }

    /// Stops all lanes; what stands in the field is not drawn again before it changes.
    pub(crate) fn stop(&mut self) {
        self.teacher_due = None;
        self.sheet.due = None;
        self.sheet.drawing = None;
        for lane in Lane::ALL {
            self.engine.send(Request::Stop(lane));
        }
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
        if self.ready() {
            self.follow_sheet(ctx);
            self.follow_teacher(ctx);
        }
        self.measure();
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
            self.scrub = None;
            self.teacher_due = match (begins, self.controls.live) {
                (true, _) => Some(now),
                (false, true) => Some(now + f64::from(self.controls.pause)),
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

    /// Has student and teacher measured where both are new and of the same input.
    fn measure(&mut self) {
        if self.measuring || !self.comparing() || self.controls.show != Show::Compare {
            return;
        }
        let (Some(student), Some(teacher)) = (&self.live.picture, self.seen_teacher()) else { return };
        let measured = self.distance.as_ref().is_some_and(|found| found.is_of(student, teacher));
        let current = self.live.shows(&self.wanted(Lane::Live)) && self.teacher.shows(&self.wanted(Lane::Teacher));
        if current && !measured {
            self.jobs.measure(student.clone(), teacher.clone());
            self.measuring = true;
        }
    }

    pub(super) fn ready(&self) -> bool {
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
