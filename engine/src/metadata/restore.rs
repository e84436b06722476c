//! From what a file says to settings that this program can draw, and what of it is not restored and why. Add a name of a
//! sampler to [`sampler`].

use super::Found;
use crate::protocol::{Bf16Products, NoiseSchedule, PromptSyntax, Role, Sampler, Settings};

/// Most steps for one picture.
const MOST_STEPS: u64 = 50;

/// What a file's settings become.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Ready to draw with.
    pub settings: Settings,
    /// The model's name, if the file gives it.
    pub model: Option<String>,
    /// The first ten hex digits of its weights' digest, if the file gives them.
    pub model_hash: Option<String>,
    /// How its numbers were multiplied, if it was drawn in bf16 on a CPU.
    pub bf16_products: Option<Bf16Products>,
    /// What of it is not restored, and why: plain sentences.
    pub remarks: Vec<String>,
}

/// What of it this program can draw.
#[must_use]
pub fn restore(found: Found) -> Restored {
    let mut remarks = found.warnings;
    if let Some(own) = found.own {
        let (model, model_hash) = (found.model, found.model_hash);
        return Restored { settings: own.settings, model, model_hash, bf16_products: own.bf16_products, remarks };
    }
    let steps = match found.steps {
        Some(steps) if steps > MOST_STEPS => {
            remarks.push(format!("{steps} steps are more than InstaFlow draws: {MOST_STEPS} are set instead."));
            MOST_STEPS
        }
        Some(steps) => steps.max(1),
        None => 1,
    } as u32;
    let guidance = found.guidance.filter(|scale| *scale >= 0.0 && *scale <= 1000.0);
    if let (Some(scale), None) = (found.guidance, guidance) {
        remarks.push(format!("A guidance scale of {scale} is out of range: 1 is set instead."));
    }
    let guidance = guidance.unwrap_or(1.0) as f32;
    let named = found.sampler.as_deref().unwrap_or_default();
    let sampler = sampler(named);
    if sampler.is_none() && !named.is_empty() {
        remarks.push(format!("The sampler {named} is not known here: the model's own is used."));
    }
    let scheduled = found.schedule.clone().unwrap_or_else(|| named.to_owned()).to_ascii_lowercase();
    let schedule = scheduled.contains("karras").then_some(NoiseSchedule::Karras);
    let known = ["", "karras", "automatic", "normal", "default"];
    if let Some(schedule) = found.schedule.filter(|name| !known.contains(&name.to_ascii_lowercase().as_str())) {
        remarks.push(format!("The schedule {schedule} is not known here: the model's own is used."));
    }
    let prompt = found.prompt.unwrap_or_default();
    let missing: Vec<&str> = found
        .loras
        .iter()
        .map(|lora| lora.name.as_str())
        .filter(|name| !prompt.contains(&format!(":{name}:")))
        .collect();
    if !missing.is_empty() {
        remarks.push(format!("Not restored, because the file does not say where they are: {}.", missing.join(", ")));
    }
    if let Some(denoise) = found.denoise {
        remarks
            .push(format!("The picture was drawn over another one (denoising {denoise}), which is not in the file."));
    }
    let side = |side: u64| u32::try_from(side).ok();
    let settings = Settings {
        role: if steps > 1 || guidance > 1.0 { Role::Teacher } else { Role::Student },
        negative_prompt: found.negative_prompt.unwrap_or_default(),
        seed: found.seed.unwrap_or(0),
        size: found.size.and_then(|(width, height)| Some((side(width)?, side(height)?))),
        steps,
        guidance,
        sampler,
        schedule,
        prompt_syntax: if found.program.as_deref() == Some("ComfyUI") {
            PromptSyntax::ComfyUi
        } else {
            PromptSyntax::A1111
        },
        clip_skip: found.clip_skip.and_then(|layer| u32::try_from(layer).ok()).filter(|layer| *layer >= 1).unwrap_or(1),
        ..Settings::student(prompt)
    };
    Restored { settings, model: found.model, model_hash: found.model_hash, bf16_products: None, remarks }
}

/// The sampler that programs mean by a name, whatever schedule is part of it.
fn sampler(name: &str) -> Option<Sampler> {
    let plain = name.to_ascii_lowercase().replace(['_', '-'], " ");
    let plain = plain.trim_end_matches(" karras").trim_start_matches("k ");
    let known = [
        (Sampler::Flow, &["euler flow"][..]),
        (Sampler::DpmPlusPlus2M, &["dpm++ 2m", "dpmpp 2m"]),
        (Sampler::Ddim, &["ddim"]),
        (Sampler::Euler, &["euler"]),
        (Sampler::EulerAncestral, &["euler a", "euler ancestral"]),
        (Sampler::UniPc, &["unipc", "uni pc"]),
        (Sampler::Heun, &["heun"]),
        (Sampler::Lms, &["lms"]),
        (Sampler::Lcm, &["lcm"]),
        (Sampler::Tcd, &["tcd"]),
    ];
    known.into_iter().find(|(_, names)| names.contains(&plain)).map(|(sampler, _)| sampler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_said() {
        let said = Found { steps: Some(20), guidance: Some(7.0), sampler: Some("Euler a".into()), ..Found::default() };
        for (found, remark) in [
            (said.clone(), None),
            (Found { steps: Some(150), ..said.clone() }, Some("150 steps")),
            (Found { guidance: Some(5000.0), ..said.clone() }, Some("scale of 5000")),
            (Found { guidance: Some(-1.0), ..said.clone() }, Some("scale of -1")),
            (Found { sampler: Some("PLMS".into()), ..said.clone() }, Some("PLMS")),
            (Found { schedule: Some("Beta".into()), ..said.clone() }, Some("Beta")),
            (Found { denoise: Some(0.35), ..said.clone() }, Some("0.35")),
        ] {
            let remarks = restore(found).remarks;
            assert_eq!(remarks.len(), usize::from(remark.is_some()), "{remarks:?}");
            assert!(remark.is_none_or(|words| remarks[0].contains(words)), "{remarks:?}");
        }
    }
}
