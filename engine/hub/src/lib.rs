//! Models from the Hugging Face hub: a catalogue of those that are known to be of use, the cache that programs share,
//! licences, and downloads that continue where they were broken off.
//!
//! ```no_run
//! use instaflow_hub::{Catalogue, Environment, Hub};
//!
//! # fn main() -> instaflow_hub::Result<()> {
//! let hub = Hub::new(Environment::of_process(), None)?;
//! let entry = hub.catalogue().target("taesd")?;
//! // Where it is, if this program or another has fetched it.
//! for piece in hub.cache().find(&entry)? {
//!     println!("{}", piece.path.display());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here touches the network except `Hub::plan`, which asks the hub what a download would fetch, and
//! `Hub::download`, which fetches it. Both exist only with the feature `download` (default).

mod error;

mod environment;

mod repository;

mod catalogue;

pub mod selection;

mod cache;

mod remove;

mod licence;

#[cfg(feature = "download")]
mod proxy;

#[cfg(feature = "download")]
mod address;

#[cfg(feature = "download")]
mod stop;

#[cfg(feature = "download")]
mod client;

#[cfg(feature = "download")]
mod plan;

#[cfg(feature = "download")]
mod hash;

#[cfg(feature = "download")]
mod blob;

#[cfg(feature = "download")]
mod progress;

#[cfg(feature = "download")]
mod download;

use std::path::Path;

pub use cache::{Cache, Found, Snapshot, State};
pub use catalogue::{Catalogue, Entry, LicenceText, Piece, Role};
#[cfg(feature = "download")]
pub use client::Patience;
#[cfg(feature = "download")]
pub use download::{Event, Wait};
pub use environment::{Environment, Token};
pub use error::{Error, Result};
pub use licence::{Acceptances, Licence};
#[cfg(feature = "answers")]
pub use plan::answers;
#[cfg(feature = "download")]
pub use plan::{Plan, PlanOptions, PlannedFile, PlannedPiece};
#[cfg(feature = "download")]
pub use progress::Progress;
pub use remove::Removed;
pub use repository::RepositoryId;
#[cfg(feature = "download")]
pub use stop::Stop;

/// Everything about the hub that one program needs.
#[derive(Clone, Debug)]
pub struct Hub {
    environment: Environment,
    catalogue: Catalogue,
    cache: Cache,
    /// How long to wait for the network.
    #[cfg(feature = "download")]
    pub patience: Patience,
    /// What the disk is said to have free, in tests.
    #[cfg(all(test, feature = "download"))]
    free: Option<u64>,
}

impl Hub {
    /// The hub as the environment has it. `settings` is the program's folder for settings, which may hold a catalogue
    /// that adds to the program's own.
    pub fn new(environment: Environment, settings: Option<&Path>) -> Result<Self> {
        let catalogue = Catalogue::with_own(settings)?;
        let cache = Cache::new(environment.cache.clone());
        Ok(Self {
            environment,
            catalogue,
            cache,
            #[cfg(feature = "download")]
            patience: Patience::default(),
            #[cfg(all(test, feature = "download"))]
            free: None,
        })
    }

    /// The models that are known here.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What has been fetched.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Where the hub is.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A size for people: 723 MB, 1.7 GB. Steps of a thousand, as on the hub's pages.
pub fn readable_bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        1_000_000_000.. => (1e9, "GB"),
        1_000_000.. => (1e6, "MB"),
        1_000.. => (1e3, "kB"),
        _ => return format!("{bytes} bytes"),
    };
    let value = bytes as f64 / unit;
    if value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

#[cfg(all(test, feature = "download", unix))]
mod tests;

#[cfg(test)]
mod readable_bytes_tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_on_the_hubs_pages() {
        for (bytes, text) in [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (9_800_000, "9.8 MB")] {
            assert_eq!(readable_bytes(bytes), text);
        }
        assert_eq!(readable_bytes(723_000_000), "723 MB");
        assert_eq!(readable_bytes(8_534_000_000), "8.5 GB");
    }
}
