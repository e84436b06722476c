//! What to ask of the engine, and when: the live lane follows every change; teacher and baseline wait for a pause.

use std::time::{Duration, Instant};

use instaflow_engine::protocol::{Lane, Request, Role, Settings};

use super::{App, PaneId, lora_stack};

impl App {
    /// What a pane should show.
    pub(crate) fn wanted(&self, pane_id: PaneId) -> Settings {
        let controls = &self.controls;
        let role = match pane_id {
            PaneId::Live => self.models.live_role(),
            PaneId::Teacher => Role::Teacher,
            PaneId::Baseline => Role::Baseline,
        };
        let plain = Settings {
            seed: controls.recipe.seed,
            size: controls.recipe.size,
            prompt_syntax: controls.recipe.prompt_syntax,
            clip_skip: controls.recipe.clip_skip,
            decoder: self.live_decoder(),
            blend: controls.recipe.blend(),
            ..Settings::student(controls.recipe.prompt.clone())
        };
        let plain = Settings { loras: lora_stack::of(&controls.recipe.loras, role), ..plain };
        match role {
            Role::Student => match self.models.live_card() {
                // A model distilled to a few steps takes as many as it needs.
                Some(card) => Settings { steps: card.steps, guidance: card.guidance, ..plain },
                None => plain,
            },
            Role::Baseline => self.baselines(plain),
            Role::Teacher => Settings {
                role,
                negative_prompt: controls.recipe.negative_prompt.clone(),
                steps: controls.recipe.steps,
                guidance: controls.recipe.guidance,
                sampler: self.sampler(self.models.open.as_ref().and_then(|model| model.teacher.as_ref())),
                ..plain
            },
        }
    }

    /// Draws what is set now, even if live drawing is off.
    pub(crate) fn draw_now(&mut self, ctx: &egui::Context) {
        self.panes.live.sent = None;
        self.panes.live.due = Some(ctx.time());
        for pane_id in self.others() {
            let wanted = self.wanted(pane_id);
            let pane = self.panes.get_mut(pane_id);
            (pane.sent, pane.due) = (Some(wanted), Some(ctx.time()));
        }
        self.want_batch();
        self.batch.due = (!self.batch.wanted.is_empty()).then(|| ctx.time());
    }

    /// Stops all lanes; what stands in the field is not drawn again before it changes.
    pub(crate) fn stop(&mut self) {
        (self.panes.live.due, self.panes.teacher.due, self.panes.baseline.due) = (None, None, None);
        self.batch.due = None;
        self.batch.drawing = None;
        for lane in Lane::ALL {
            self.engine.send(Request::Stop(lane));
        }
        self.engine.send(Request::StopDecoding);
    }

    /// Sends what has changed since the last frame.
    pub(super) fn follow(&mut self, ctx: &egui::Context) {
        self.count_tokens();
        if self.controls.live || self.panes.live.due.is_some() {
            self.send_live();
        }
        if self.ready() {
            self.follow_refinement(ctx);
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

    /// Asks how the live lane's model reads the prompt, unless that was asked already.
    fn count_tokens(&mut self) {
        let Settings { role, prompt, prompt_syntax, guidance, .. } = self.wanted(PaneId::Live);
        // A student's settings have no negative prompt. Whoever types one is told.
        let negative_prompt = self.controls.recipe.negative_prompt.clone();
        let asked = Settings { role, prompt_syntax, guidance, negative_prompt, ..Settings::student(prompt) };
        if self.models.open.is_some() && self.prompt.counted.as_ref() != Some(&asked) {
            self.engine.send(Request::CountTokens(Box::new(asked.clone())));
            self.prompt.counted = Some(asked);
        }
    }

    /// Sends the live lane's job unless it was sent already.
    fn send_live(&mut self) {
        let wanted = self.wanted(PaneId::Live);
        if self.ready() && self.panes.live.sent.as_ref() != Some(&wanted) {
            // Whoever asks for one picture waits for the full decoder; whoever types sees the tiny one's at once.
            let follows = self.controls.live && self.panes.live.due.is_none();
            self.panes.live.due = None;
            self.forget_refinement();
            let decoder = if follows { self.typing_decoder() } else { wanted.decoder };
            self.send(PaneId::Live, Settings { decoder, ..wanted.clone() });
            self.panes.live.sent = Some(wanted);
        }
    }

    /// Lets a lane that stands beside the student follow with a pause.
    fn follow_beside(&mut self, ctx: &egui::Context, pane_id: PaneId) {
        if !self.beside(pane_id) {
            let pane = self.panes.get_mut(pane_id);
            if pane.sent.take().is_some() {
                pane.due = None;
                self.engine.send(Request::Stop(pane_id.lane()));
            }
            return;
        }
        let wanted = self.wanted(pane_id);
        let now = ctx.time();
        if self.pane(pane_id).sent.as_ref() != Some(&wanted) {
            // Comparing begins at once; afterwards a change ends the run and waits for a pause.
            let begins = self.pane(pane_id).sent.is_none();
            self.engine.send(Request::Stop(pane_id.lane()));
            self.side_by_side.scrub = None;
            let due = match (begins, self.controls.live) {
                (true, _) => Some(now),
                (false, true) => Some(now + f64::from(self.controls.pause)),
                (false, false) => None,
            };
            let pane = self.panes.get_mut(pane_id);
            (pane.sent, pane.due) = (Some(wanted.clone()), due);
        }
        match self.pane(pane_id).due {
            Some(due) if now >= due => {
                self.panes.get_mut(pane_id).due = None;
                self.send(pane_id, wanted);
            }
            Some(due) => ctx.request_repaint_after(Duration::from_secs_f64(due - now)),
            None => {}
        }
    }

    /// Compares the student's picture with another once both are new and of the same input.
    fn measure(&mut self) {
        if self.side_by_side.measuring
            || self.deliveries.refines()
            || !self.panes.live.shows(&self.wanted(PaneId::Live))
        {
            return;
        }
        for pane_id in self.others() {
            let (Some(student), Some(other)) = (&self.panes.live.picture, self.seen(pane_id)) else { continue };
            if self.comparison(pane_id).is_none() && self.pane(pane_id).shows(&self.wanted(pane_id)) {
                self.jobs.measure(pane_id, student.clone(), other.clone());
                self.side_by_side.measuring = true;
                return;
            }
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.models.open.is_some() && self.models.opening.is_none() && !self.engine.ended
    }

    fn send(&mut self, pane_id: PaneId, settings: Settings) {
        let id = self.engine.new_id();
        let asked = Instant::now();
        self.engine.under_way.insert(id, (pane_id.lane(), asked));
        let pane = self.panes.get_mut(pane_id);
        pane.sent = Some(settings.clone());
        pane.latest = Some(id);
        self.engine.send(Request::Draw { id, lane: pane_id.lane(), settings, asked });
    }
}
