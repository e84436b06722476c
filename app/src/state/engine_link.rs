//! The way to the engine, and which requests it has not answered yet.

use std::collections::HashMap;
use std::time::Instant;

use crossbeam_channel::Receiver;
use instaflow_engine::protocol::{Event, JobId, Lane, Request};
use instaflow_engine::worker::Engine;

/// The engine with the requests that are on their way.
pub(super) struct EngineLink {
    engine: Engine,
    /// Whether its thread is gone.
    pub ended: bool,
    /// Which lane's each drawing job is, and when it was asked for.
    pub under_way: HashMap<JobId, (Lane, Instant)>,
    last_id: u64,
}

impl EngineLink {
    pub fn new(engine: Engine) -> Self {
        Self { engine, ended: false, under_way: HashMap::new(), last_id: 0 }
    }

    /// The number of the next request.
    pub fn new_id(&mut self) -> JobId {
        self.last_id += 1;
        JobId(self.last_id)
    }

    pub fn send(&self, request: Request) {
        self.engine.send(request);
    }

    pub fn events(&self) -> &Receiver<Event> {
        self.engine.events()
    }

    /// Whether a lane has a job under way.
    pub fn works_in(&self, lane: Lane) -> bool {
        self.under_way.values().any(|(its, _)| *its == lane)
    }

    /// Forgets a job that has ended; returns when it was asked for. Its end also stands for the earlier requests that
    /// waited in the same lane, except for `running`, which may still run.
    pub fn forget(&mut self, id: JobId, lane: Lane, running: Option<JobId>) -> Option<Instant> {
        let asked = self.under_way.get(&id).map(|(_, asked)| *asked);
        let running = running.filter(|running| *running != id);
        self.under_way.retain(|other, (its, _)| *its != lane || *other > id || Some(*other) == running);
        asked
    }
}
