//! What a model's U-Net predicts and how it is drawn. A table of known models, `assets/recipes.json`, goes before what a
//! folder's configs say, because some say what is not so; where neither says anything, the person is asked. Add a model to
//! the table, or a pipeline class to [`PIPELINES`].

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::diffusion::Schedule;
use crate::protocol::{Defaults, NoiseSchedule, Prediction, Role, Sampler};
use crate::{Error, Result};

/// The pipelines of model_index.json: the InstaFlow authors' own, the one in Diffusers' community folder, Stable Diffusion,
/// and latent consistency models.
const PIPELINES: [(&str, Kind); 4] = [
    ("RectifiedFlowPipeline", Kind::Flow),
    ("InstaFlowPipeline", Kind::Flow),
    ("StableDiffusionPipeline", Kind::Diffusion),
    ("LatentConsistencyModelPipeline", Kind::Consistency),
];

#[derive(Clone, Copy)]
enum Kind {
    Flow,
    Diffusion,
    Consistency,
}

/// How a model is drawn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What its U-Net predicts.
    pub prediction: Prediction,
    /// Windows of a piecewise rectified flow, whose velocity follows from the predicted noise.
    #[serde(default)]
    pub windows: Option<usize>,
    /// How to step.
    pub sampler: Sampler,
    /// Which noise levels to visit; `None` is what the scheduler's config says.
    #[serde(default)]
    pub schedule: Option<NoiseSchedule>,
    /// The times of a run of as many steps, the noisiest first; empty leaves them to the schedule.
    #[serde(default)]
    pub times: Vec<usize>,
    /// Steps; `None` is what suits the model's kind and part.
    #[serde(default)]
    pub steps: Option<u32>,
    /// Guidance scale, likewise; at most 1 is none.
    #[serde(default)]
    pub guidance: Option<f32>,
    /// How much noise TCD adds on the way; `None` is what the scheduler's config says.
    #[serde(default)]
    pub eta: Option<f64>,
    /// Whether the model was distilled to draw in a few steps, so that it can be a student.
    #[serde(default)]
    pub few_steps: bool,
    /// Whether this is certain: known from the table. Otherwise a sampler of another kind can be asked for.
    #[serde(skip)]
    pub is_known: bool,
}

/// A line of the table.
#[derive(Deserialize)]
struct Entry {
    /// For people.
    #[cfg_attr(not(test), expect(dead_code, reason = "only people read it"))]
    title: String,
    /// Where the numbers come from.
    #[cfg_attr(not(test), expect(dead_code, reason = "only people read it"))]
    source: String,
    /// ORG/NAME on the hub.
    #[serde(default)]
    repositories: Vec<String>,
    /// Whole names.
    #[serde(default)]
    names: Vec<String>,
    /// Parts of names.
    #[serde(default)]
    contains: Vec<String>,
    /// Parts of names of other models.
    #[serde(default)]
    except: Vec<String>,
    /// Beginnings of hashes.
    #[serde(default)]
    hashes: Vec<String>,
    #[serde(flatten)]
    recipe: Value,
}

/// What a model's own files say of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Configs<'a> {
    /// Whether it is a folder of Diffusers' layout. One that does not name its pipeline is a flow.
    pub is_folder: bool,
    /// The pipeline that model_index.json names.
    pub pipeline: Option<&'a str>,
    /// scheduler_config.json.
    pub scheduler: Option<&'a Value>,
    /// What the file's metadata or its tensors say that the U-Net predicts.
    pub prediction: Option<Prediction>,
}

/// The recipe of a model.
///
/// `name` is its path, its file name or ORG/NAME, `hash` hex digits or "". `wanted` is what the person says that the U-Net
/// predicts; it counts where nothing else says so. If nothing does, the error is [`Error::UnknownPrediction`]. An unknown
/// pipeline is an error whose subject, model_index.json, is left out.
pub fn of(name: &str, hash: &str, configs: Configs<'_>, wanted: Option<Prediction>) -> Result<Recipe> {
    if let Some(recipe) = known(name, hash) {
        return Ok(recipe);
    }
    let scheduler = |key: &str| configs.scheduler.and_then(|config| config[key].as_str());
    let says = configs.prediction.or_else(|| match scheduler("prediction_type")? {
        "epsilon" => Some(Prediction::Epsilon),
        "v_prediction" => Some(Prediction::V),
        "sample" => Some(Prediction::Sample),
        _ => None,
    });
    let Some(class) = configs.pipeline else {
        let prediction = match (configs.prediction.or(wanted), configs.is_folder) {
            (Some(prediction), _) => prediction,
            (None, true) => Prediction::Flow,
            (None, false) => return Err(Error::UnknownPrediction { name: file_name(name).to_owned() }),
        };
        return Ok(Recipe::predicting(prediction));
    };
    let kind = PIPELINES.iter().find(|(known, _)| *known == class).map(|(_, kind)| *kind).ok_or_else(|| {
        let names = PIPELINES.map(|(name, _)| name).join(", ");
        Error::Setting(format!("names the unsupported pipeline {class}: supported are {names}"))
    })?;
    let diffusion = || Recipe::predicting(says.or(wanted).unwrap_or(Prediction::Epsilon));
    Ok(match (kind, scheduler("_class_name")) {
        (Kind::Flow, _) => Recipe::predicting(Prediction::Flow),
        (Kind::Consistency, _) | (Kind::Diffusion, Some("LCMScheduler")) => Recipe {
            sampler: Sampler::Lcm,
            steps: Some(4),
            // An embedding (Luo et al., 2023, arXiv 2310.04378), or none: a distilled LoRA's has guidance in its weights.
            guidance: Some(if matches!(kind, Kind::Consistency) { 8.0 } else { 1.0 }),
            few_steps: true,
            ..diffusion()
        },
        (Kind::Diffusion, Some("TCDScheduler")) => {
            Recipe { sampler: Sampler::Tcd, steps: Some(4), guidance: Some(1.0), few_steps: true, ..diffusion() }
        }
        (Kind::Diffusion, _) => diffusion(),
    })
}

impl Recipe {
    /// A model of which nothing is known but what its U-Net predicts.
    pub fn predicting(prediction: Prediction) -> Self {
        let is_flow = prediction == Prediction::Flow;
        Self {
            prediction,
            windows: None,
            sampler: if is_flow { Sampler::Flow } else { Sampler::DpmPlusPlus2M },
            schedule: None,
            times: Vec::new(),
            steps: None,
            guidance: None,
            eta: None,
            few_steps: false,
            is_known: false,
        }
    }

    /// Whether it draws in so few steps that it can be the student. Nothing says which of a flow's models does.
    pub fn can_be_student(&self) -> bool {
        self.few_steps || self.prediction == Prediction::Flow
    }

    /// What a model that plays this part is drawn with. A flow's student takes one step and its teacher many, whatever the
    /// table says of it: the part is the person's choice.
    pub fn defaults(&self, role: Role) -> Defaults {
        let unlike = self.prediction == Prediction::Flow && (self.steps == Some(1)) != (role == Role::Student);
        if unlike {
            return self.sampler.into();
        }
        Defaults { sampler: self.sampler, steps: self.steps, guidance: self.guidance }
    }

    /// The samplers that the model can be drawn with. Where the recipe is not known for certain, one of the other kind may
    /// be asked for, if there is a noise schedule.
    pub fn samplers(&self, has_schedule: bool) -> Vec<Sampler> {
        let takes = |sampler: &Sampler| {
            let is_own_kind = sampler.is_diffusion() == self.sampler.is_diffusion();
            is_own_kind || (!self.is_known && (has_schedule || !sampler.is_diffusion()))
        };
        Sampler::ALL.into_iter().filter(takes).collect()
    }

    /// A scheduler's schedule with what the recipe knows better.
    pub fn schedule_of(&self, schedule: Schedule) -> Schedule {
        let mut schedule = schedule.predicting(self.prediction);
        schedule.eta = self.eta.unwrap_or(schedule.eta);
        schedule
    }
}

/// The table's recipe for this model.
fn known(name: &str, hash: &str) -> Option<Recipe> {
    let path = name.replace('\\', "/");
    let file = file_name(&path);
    let plain = simplified(file);
    // `ORG/NAME`, the hub cache's `models--ORG--NAME/snapshots/COMMIT`, or a folder called NAME.
    let is_repository = |repository: &String| {
        let cached = format!("models--{}", repository.replace('/', "--"));
        path.eq_ignore_ascii_case(repository)
            || repository.split_once('/').is_some_and(|(_, name)| simplified(name) == plain)
            || path.split('/').any(|part| part.eq_ignore_ascii_case(&cached))
    };
    let has = |parts: &[String]| parts.iter().any(|part| plain.contains(&simplified(part)));
    let matches = |entry: &&(Entry, Recipe)| {
        let entry = &entry.0;
        let hashed = !hash.is_empty() && entry.hashes.iter().any(|known| hash.starts_with(known.as_str()));
        hashed
            || entry.repositories.iter().any(is_repository)
            || entry.names.iter().any(|known| simplified(known) == plain)
            || (has(&entry.contains) && !has(&entry.except))
    };
    TABLE.iter().find(matches).map(|(_, recipe)| recipe.clone())
}

/// The table, read once. It is part of the program, so tests hold it to its form.
static TABLE: LazyLock<Vec<(Entry, Recipe)>> = LazyLock::new(|| read(TABLE_JSON).unwrap_or_default());

const TABLE_JSON: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/recipes.json"));

fn read(json: &str) -> serde_json::Result<Vec<(Entry, Recipe)>> {
    let entries: Vec<Entry> = serde_json::from_str(json)?;
    let with_recipe = |entry: Entry| {
        let recipe = Recipe::deserialize(&entry.recipe)?;
        Ok((entry, Recipe { is_known: true, ..recipe }))
    };
    entries.into_iter().map(with_recipe).collect()
}

fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Letters and digits in lower case, without a weight file's ending.
fn simplified(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".safetensors").unwrap_or(&name);
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::assert_error;
    use serde_json::json;

    use super::*;

    fn folder(name: &str, pipeline: Option<&str>, scheduler: &Value) -> Result<Recipe> {
        of(name, "", Configs { is_folder: true, pipeline, scheduler: Some(scheduler), prediction: None }, None)
    }

    #[test]
    fn the_table_is_sound() {
        let table = read(TABLE_JSON).unwrap();
        assert!(table.len() >= 10);
        for (entry, recipe) in &table {
            assert!(!entry.title.is_empty() && !entry.source.is_empty());
            assert_eq!(
                recipe.sampler.is_diffusion(),
                recipe.prediction != Prediction::Flow && recipe.windows.is_none()
            );
            assert!(
                recipe.times.iter().all(|time| *time < 1000) && recipe.times.windows(2).all(|pair| pair[0] > pair[1])
            );
            for name in entry.repositories.iter().chain(&entry.names) {
                assert_eq!(known(name, "").as_ref(), Some(recipe), "{name} is found as another model");
            }
            for part in &entry.contains {
                assert_eq!(known(&format!("my-{part}-x.safetensors"), "").as_ref(), Some(recipe), "{part}");
            }
        }
    }

    #[test]
    fn names_repositories_and_hashes_are_known() {
        for (name, hash, prediction, sampler, steps) in [
            ("/models/instaflow_0_9B_from_sd_1_5", "", Prediction::Flow, Sampler::Flow, Some(1)),
            ("C:\\x\\InstaFlow-0.9B.safetensors", "", Prediction::Flow, Sampler::Flow, Some(1)),
            ("cache/models--stabilityai--sd-turbo/snapshots/0123", "", Prediction::Epsilon, Sampler::Euler, Some(1)),
            ("sd_turbo.safetensors", "", Prediction::Epsilon, Sampler::Euler, Some(1)),
            ("renamed.safetensors", "6ce0161689b3", Prediction::Epsilon, Sampler::DpmPlusPlus2M, Some(25)),
            ("v2-1_768-ema-pruned.safetensors", "", Prediction::V, Sampler::DpmPlusPlus2M, Some(25)),
            ("v2-1_512-ema-pruned.safetensors", "", Prediction::Epsilon, Sampler::DpmPlusPlus2M, Some(25)),
            ("hub/LCM_Dreamshaper_v7", "", Prediction::Epsilon, Sampler::Lcm, Some(4)),
        ] {
            let recipe = of(name, hash, Configs::default(), None).unwrap();
            assert_eq!((recipe.prediction, recipe.sampler, recipe.steps), (prediction, sampler, steps), "{name}");
            assert!(recipe.is_known);
        }
        assert_eq!(known("sdxl-turbo", ""), None);
        assert_eq!(known("pocket watches", ""), None);
    }

    /// Its folder says StableDiffusionPipeline with DEIS.
    #[test]
    fn the_table_goes_before_a_folder() {
        let deis = json!({ "_class_name": "DEISMultistepScheduler", "prediction_type": "epsilon" });
        let recipe = folder("perflow-sd15-dreamshaper", Some("StableDiffusionPipeline"), &deis).unwrap();
        assert_eq!((recipe.windows, recipe.sampler), (Some(4), Sampler::Flow));
        assert!(recipe.can_be_student());
        assert_eq!(recipe.samplers(true), [Sampler::Flow]);
    }

    #[test]
    fn folders_say_what_they_are() {
        let pndm = json!({ "_class_name": "PNDMScheduler", "prediction_type": "epsilon" });
        let flow = folder("mine", Some("RectifiedFlowPipeline"), &pndm).unwrap();
        assert_eq!((flow.prediction, flow.can_be_student()), (Prediction::Flow, true));
        assert_eq!(flow.samplers(true), Sampler::ALL, "a folder may be wrong");
        assert_eq!(flow.samplers(false), [Sampler::Flow]);
        assert_eq!(folder("mine", None, &pndm).unwrap(), flow, "no model_index.json");

        let v = json!({ "_class_name": "DDIMScheduler", "prediction_type": "v_prediction" });
        let diffusion = folder("mine", Some("StableDiffusionPipeline"), &v).unwrap();
        assert_eq!((diffusion.prediction, diffusion.sampler), (Prediction::V, Sampler::DpmPlusPlus2M));
        assert!(!diffusion.can_be_student());
        let lcm = folder("mine", Some("LatentConsistencyModelPipeline"), &pndm).unwrap();
        assert_eq!((lcm.sampler, lcm.steps, lcm.can_be_student()), (Sampler::Lcm, Some(4), true));
        let tcd = json!({ "_class_name": "TCDScheduler" });
        assert_eq!(folder("mine", Some("StableDiffusionPipeline"), &tcd).unwrap().sampler, Sampler::Tcd);
        assert_error(folder("mine", Some("FluxPipeline"), &pndm), "unsupported pipeline FluxPipeline");
    }

    #[test]
    fn what_nothing_says_is_asked() {
        let error = of("/x/my merge.safetensors", "", Configs::default(), None).unwrap_err();
        assert_eq!(error.choices(), Some(&Prediction::ALL[..]));
        let sentence = error.to_string();
        assert!(sentence.contains("my merge.safetensors") && sentence.contains("epsilon"), "{sentence}");
        assert_eq!(sentence.lines().count(), 1);
        let wanted = of("my merge.safetensors", "", Configs::default(), Some(Prediction::Flow)).unwrap();
        assert_eq!(wanted.sampler, Sampler::Flow);
        // What a file says goes before what the person says.
        let says = Configs { prediction: Some(Prediction::V), ..Configs::default() };
        assert_eq!(of("x", "", says, Some(Prediction::Flow)).unwrap().prediction, Prediction::V);
    }

    #[test]
    fn a_flow_is_drawn_by_its_part() {
        let two = known("2_rectified_flow_from_sd_1_5", "").unwrap();
        assert_eq!(two.defaults(Role::Student).steps, None);
        assert_eq!(two.defaults(Role::Teacher).steps, Some(25));
        let one = known("instaflow_0_9B_from_sd_1_5", "").unwrap();
        assert_eq!((one.defaults(Role::Student).steps, one.defaults(Role::Baseline).steps), (Some(1), None));
        let turbo = known("sd-turbo", "").unwrap();
        assert_eq!(turbo.defaults(Role::Baseline), turbo.defaults(Role::Student));
    }
}
