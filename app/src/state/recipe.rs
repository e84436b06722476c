//! What decides the picture: one value that the history, the restoring of a file's settings and the requests to the
//! engine share. A field that is new here needs a default, a bound in [`Recipe::clamped`] if a file could hold nonsense,
//! and a place in [`Recipe::changed`].

use instaflow_engine::protocol::{Blend, Decoder, PromptSyntax, Role, Sampler, Settings, Toward};
use serde::{Deserialize, Serialize};

use super::lora_stack::{self, StackedLora};

/// What decides the picture, and the pictures beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// The prompt field.
    pub prompt: String,
    /// The prompt that the picture lies on the way to; nothing if it is empty.
    pub second_prompt: String,
    /// How far on that way, 0 … 1.
    pub prompt_mix: f32,
    /// The teacher's negative prompt.
    pub negative_prompt: String,
    /// How the prompts are read.
    pub prompt_syntax: PromptSyntax,
    /// Which layer of the text encoder counts, from the end: 1 is the last.
    pub clip_skip: u32,
    /// Seed of all models' noise.
    pub seed: u64,
    /// The seed whose noise the picture lies on the way to.
    pub second_seed: u64,
    /// How far on that way, 0 … 1.
    pub seed_mix: f32,
    /// Width and height in pixels; `None` is the model's own.
    pub size: Option<(u32, u32)>,
    /// Pictures of the variations, the live one included: 4 or 9.
    pub variations: u32,
    /// How far variations lie from the live picture's noise: 1 is a seed of their own.
    pub spread: f32,
    /// The teacher's steps, 1 … 50.
    pub steps: u32,
    /// The teacher's guidance scale, 1 … 4.
    pub guidance: f32,
    /// Which of Stable Diffusion's samplers; `None` is the model's own, and flows have only one.
    pub sampler: Option<Sampler>,
    /// The baseline's steps, 1 … 50.
    pub baseline_steps: u32,
    /// The baseline's guidance scale; `None` is what suits its kind.
    pub baseline_guidance: Option<f32>,
    /// Which decoder makes final pictures on screen.
    pub decoder: Decoder,
    /// What is added to the models' weights, in this order.
    pub loras: Vec<StackedLora>,
}

/// Which text of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Prompt,
    SecondPrompt,
    NegativePrompt,
}

/// What differs between two recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    Text(TextField),
    /// One setting, by its place in [`Recipe::changed`].
    Setting(usize),
    Several,
}

impl Default for Recipe {
    fn default() -> Self {
        let teacher = Settings::teacher("");
        Self {
            prompt: String::new(),
            second_prompt: String::new(),
            prompt_mix: 0.5,
            negative_prompt: String::new(),
            prompt_syntax: PromptSyntax::default(),
            clip_skip: 1,
            seed: 0,
            second_seed: 1,
            seed_mix: 0.0,
            size: None,
            variations: 4,
            spread: 1.0,
            steps: teacher.steps,
            guidance: teacher.guidance,
            sampler: None,
            baseline_steps: teacher.steps,
            baseline_guidance: None,
            decoder: Decoder::Full,
            loras: Vec::new(),
        }
    }
}

impl Recipe {
    /// What the picture lies between: nothing if a slider is at its beginning, so that equal pictures have equal settings.
    pub fn blend(&self) -> Blend {
        let seed = (self.seed_mix > 0.0).then_some(Toward { to: self.second_seed, by: self.seed_mix });
        let prompt = (self.prompt_mix > 0.0 && !self.second_prompt.trim().is_empty())
            .then(|| Toward { to: self.second_prompt.clone(), by: self.prompt_mix });
        Blend { prompt, seed }
    }

    /// Takes over the settings that a picture was drawn with. What they do not say stays: a student's picture tells
    /// nothing of the teacher. The decoder is left to the caller.
    pub fn take_over(&mut self, settings: Settings) {
        self.prompt = settings.prompt;
        (self.prompt_syntax, self.clip_skip) = (settings.prompt_syntax, settings.clip_skip);
        self.seed = settings.seed;
        self.size = settings.size;
        match settings.blend.prompt {
            Some(toward) => (self.second_prompt, self.prompt_mix) = (toward.to, toward.by),
            None => self.second_prompt.clear(),
        }
        self.seed_mix = settings.blend.seed.as_ref().map_or(0.0, |toward| toward.by);
        if let Some(toward) = settings.blend.seed {
            self.second_seed = toward.to;
        }
        if let Some(sampler) = settings.sampler.filter(|sampler| sampler.is_diffusion()) {
            // The model's own is not spelled out.
            self.sampler = (sampler != Sampler::DpmPlusPlus2M).then_some(sampler);
        }
        lora_stack::take_over(&mut self.loras, settings.role, settings.loras);
        match settings.role {
            Role::Student => {}
            Role::Teacher => {
                self.negative_prompt = settings.negative_prompt;
                self.steps = settings.steps.clamp(1, 50);
                self.guidance = settings.guidance;
            }
            Role::Baseline => {
                self.negative_prompt = settings.negative_prompt;
                self.baseline_steps = settings.steps.clamp(1, 50);
                self.baseline_guidance = Some(settings.guidance);
            }
        }
    }

    /// The same with every number where its control can put it; a file may hold others.
    #[must_use]
    pub(super) fn clamped(mut self) -> Self {
        let default = Self::default();
        self.prompt_mix = clamp(self.prompt_mix, 0.0, 1.0, default.prompt_mix);
        self.seed_mix = clamp(self.seed_mix, 0.0, 1.0, default.seed_mix);
        self.spread = clamp(self.spread, 0.05, 1.0, default.spread);
        self.guidance = clamp(self.guidance, 0.0, 100.0, default.guidance);
        self.sampler = self.sampler.filter(|sampler| sampler.is_diffusion());
        self.baseline_guidance = self.baseline_guidance.map(|scale| clamp(scale, 0.0, 100.0, default.guidance));
        self.baseline_steps = self.baseline_steps.clamp(1, 50);
        self.clip_skip = self.clip_skip.max(1);
        self.steps = self.steps.clamp(1, 50);
        self.loras = lora_stack::clamped(self.loras);
        self.variations = if self.variations <= 4 { 4 } else { 9 };
        self
    }

    /// What differs in another recipe.
    pub(super) fn changed(&self, other: &Self) -> Changed {
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits();
        let texts = [
            (TextField::Prompt, self.prompt != other.prompt),
            (TextField::SecondPrompt, self.second_prompt != other.second_prompt),
            (TextField::NegativePrompt, self.negative_prompt != other.negative_prompt),
        ];
        let settings = [
            same(self.prompt_mix, other.prompt_mix),
            self.seed == other.seed,
            self.second_seed == other.second_seed,
            same(self.seed_mix, other.seed_mix),
            self.size == other.size,
            self.variations == other.variations,
            same(self.spread, other.spread),
            self.steps == other.steps,
            same(self.guidance, other.guidance),
            self.decoder == other.decoder,
            self.sampler == other.sampler,
            self.baseline_steps == other.baseline_steps,
            self.baseline_guidance.map(f32::to_bits) == other.baseline_guidance.map(f32::to_bits),
            lora_stack::same(&self.loras, &other.loras),
            self.prompt_syntax == other.prompt_syntax,
            self.clip_skip == other.clip_skip,
        ];
        let texts = texts.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| Changed::Text(field));
        let settings = settings.iter().enumerate().filter(|(_, same)| !**same).map(|(at, _)| Changed::Setting(at));
        let mut changes = texts.chain(settings);
        match (changes.next(), changes.next()) {
            (None, _) => Changed::Nothing,
            (Some(one), None) => one,
            (Some(_), Some(_)) => Changed::Several,
        }
    }

    pub(super) fn text(&self, field: TextField) -> &str {
        match field {
            TextField::Prompt => &self.prompt,
            TextField::SecondPrompt => &self.second_prompt,
            TextField::NegativePrompt => &self.negative_prompt,
        }
    }

    pub(super) fn text_mut(&mut self, field: TextField) -> &mut String {
        match field {
            TextField::Prompt => &mut self.prompt,
            TextField::SecondPrompt => &mut self.second_prompt,
            TextField::NegativePrompt => &mut self.negative_prompt,
        }
    }
}

/// A number between two bounds, or the default if it is not a number.
pub(super) fn clamp(value: f32, low: f32, high: f32, default: f32) -> f32 {
    if value.is_finite() { value.clamp(low, high) } else { default }
}
