//! What `instaflow info` says of a picture.

use instaflow_engine::metadata::Found;

use super::{printable, printable_line};
use crate::format;

/// A line for each thing that the file says.
pub(super) fn lines(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: Option<String>| lines.extend(value.map(|value| format!("{name}: {value}")));
    let text = |value: &Option<String>| value.as_deref().map(printable_line);
    line("Program", text(&found.program));
    line("Prompt", found.prompt.as_deref().map(printable));
    line("Negative prompt", found.negative_prompt.as_deref().filter(|text| !text.is_empty()).map(printable));
    line("Model", text(&found.model));
    line("Model hash", text(&found.model_hash));
    let own = found.own.as_ref().map(|own| &own.settings);
    line("Drawn by", own.map(|settings| format::role(settings.role).to_owned()));
    line("Seed", found.seed.map(|seed| seed.to_string()));
    line("Size", found.size.map(|(width, height)| format!("{width}x{height}")));
    line("Steps", found.steps.map(|steps| steps.to_string()));
    line("Sampler", text(&found.sampler));
    line("Schedule", text(&found.schedule));
    line("Guidance scale", found.guidance.map(|scale| scale.to_string()));
    line("Clip skip", found.clip_skip.map(|layer| layer.to_string()));
    line("Denoising strength", found.denoise.map(|share| share.to_string()));
    for lora in &found.loras {
        let text_weight = lora.te_weight.map(|weight| format!(", text encoder {weight}")).unwrap_or_default();
        line("LoRA", Some(format!("{}, weight {}{text_weight}", printable_line(&lora.name), lora.weight)));
    }
    for embedding in &found.embeddings {
        line("Embedding", Some(printable_line(&embedding.name)));
    }
    if let Some(toward) = &found.blend.prompt {
        line("Toward the prompt", Some(format!("{} ({} of the way)", printable(&toward.to), toward.by)));
    }
    if let Some(toward) = &found.blend.seed {
        line("Toward the seed", Some(format!("{} ({} of the way)", toward.to, toward.by)));
    }
    line("Decoder", own.map(|settings| format::decoder(settings.decoder).to_owned()));
    for warning in &found.warnings {
        line("Warning", Some(printable_line(warning)));
    }
    lines
}
