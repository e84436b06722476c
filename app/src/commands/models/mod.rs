//! `instaflow models`: what can be had and what is here, downloads, removals, and the search for models on the disk.

#[cfg(feature = "hub")]
mod download;
mod list;
mod scan;

use std::path::PathBuf;

use clap::Subcommand;
use instaflow_hub::{Error, Hub};

use super::{say, wrong_use};
use crate::model_names;

/// What `models` is asked.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models that can be downloaded, and which of them are here.
    ///
    /// Needs no network. Models that other programs have fetched into the hub's cache count. A file catalogue.json in this
    /// program's folder for settings adds models of one's own.
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download a model into the hub's cache, which other programs share.
    ///
    /// Shows the licence first and asks whether you accept it. A download that was broken off goes on where it stopped.
    /// HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HUB_OFFLINE, HTTPS_PROXY and NO_PROXY have their usual meanings.
    Download {
        /// An ID of `models list`, ORG/NAME as on the hub, or ORG/NAME/FILE for one file
        #[arg(value_name = "ID|ORG/NAME")]
        model: String,

        /// A branch, tag or commit [default: main]
        #[arg(long, value_name = "R")]
        revision: Option<String>,

        /// Accept the licences without being asked, for scripts
        #[arg(long)]
        accept_licence: bool,

        /// Show files, sizes and licences, and download nothing
        #[arg(long)]
        dry_run: bool,

        /// Take 16-bit weights if there are any, which are half as large [default: only if they are what will be computed
        /// with]
        #[arg(long)]
        fp16: bool,
    },
    /// Remove a model from the hub's cache. Other programs that share the cache lose it, too.
    Remove {
        /// An ID of `models list`, ORG/NAME, or ORG/NAME/FILE
        #[arg(value_name = "ID|ORG/NAME")]
        model: String,
    },
    /// Print where a downloaded model is: one line, or two for a pair, the student first.
    Path {
        /// An ID of `models list`, ORG/NAME, or ORG/NAME/FILE
        #[arg(value_name = "ID|ORG/NAME")]
        model: String,
    },
    /// Find models on this computer: in the folders of other programs, in the hub's cache, or in the folders that you
    /// name.
    ///
    /// Reads headers alone, and writes nothing. Knows the folders of A1111, Forge, ComfyUI (also those in its
    /// extra_model_paths.yaml), InvokeAI, SwarmUI and Stability Matrix.
    Scan {
        /// Where to look [default: where these programs usually are, and the hub's cache]
        #[arg(value_name = "FOLDER")]
        folders: Vec<PathBuf>,

        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) const EXAMPLES: &str = "\
Examples:
  instaflow models list
  instaflow models download instaflow
  instaflow models download madebyollin/taesd --accept-licence
  instaflow models download sd15 --dry-run      show what it would take
  instaflow models scan ~/stable-diffusion-webui";

pub(super) fn run(command: &Models) -> anyhow::Result<()> {
    match command {
        Models::List { json } => list::run(&model_names::hub()?, *json),
        #[cfg(feature = "hub")]
        Models::Download { model, revision, accept_licence, dry_run, fp16 } => {
            let wanted = download::Wanted {
                name: model,
                revision: revision.as_deref(),
                accepted: *accept_licence,
                dry: *dry_run,
                half: *fp16,
            };
            download::run(&model_names::hub()?, crate::folders::settings().as_deref(), &wanted)
        }
        #[cfg(not(feature = "hub"))]
        Models::Download { .. } => {
            anyhow::bail!("this build cannot download: build it with the feature `hub`, or fetch the model another way")
        }
        Models::Remove { model } => remove(&model_names::hub()?, model),
        Models::Path { model } => path(&model_names::hub()?, model),
        Models::Scan { folders, json } => scan::run(folders, *json),
    }
}

fn remove(hub: &Hub, name: &str) -> anyhow::Result<()> {
    let entry = hub.catalogue().target(name).map_err(hub_error)?;
    let removed = hub.remove(&entry).map_err(hub_error)?;
    say(format!(
        "{name}: removed {} file{}, {} are free again",
        removed.files,
        if removed.files == 1 { "" } else { "s" },
        instaflow_hub::readable_bytes(removed.bytes)
    ))
}

fn path(hub: &Hub, name: &str) -> anyhow::Result<()> {
    let entry = hub.catalogue().target(name).map_err(hub_error)?;
    let found = hub.cache().find(&entry).map_err(hub_error)?;
    found.iter().try_for_each(|piece| say(piece.path.display()))
}

/// The hub's answer with the command or option that helps: the crate knows nothing of these.
pub(super) fn hub_error(error: Error) -> anyhow::Error {
    match &error {
        Error::Name(_) => wrong_use(format!("{error} (see: instaflow models list)")),
        Error::Licence(_) => wrong_use(format!("{error}, with --accept-licence")),
        Error::NotHere(name) => anyhow::anyhow!("{error} (instaflow models download {name})"),
        _ => error.into(),
    }
}
