//! The LoRAs that a prompt names in tags.

use super::{FoundLora, bare_name};

/// `<lora:NAME:WEIGHT>`, `<lora:NAME:WEIGHT:TEXT_WEIGHT>` and the named forms, in order.
pub(super) fn loras(prompt: &str) -> Vec<FoundLora> {
    let mut found = Vec::new();
    for tag in prompt.split('<').skip(1) {
        let Some((inside, _)) = tag.split_once('>') else { continue };
        let Some(arguments) = inside.strip_prefix("lora:").or(inside.strip_prefix("lyco:")) else { continue };
        let mut parts = arguments.split(':');
        let name = bare_name(parts.next().unwrap_or_default());
        let (mut weight, mut text, mut plain) = (None, None, 0);
        for part in parts {
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            if let Some(value) = part.strip_prefix("te=") {
                text = number(value);
            } else if let Some(value) = part.strip_prefix("unet=") {
                weight = number(value);
            } else if plain == 0 {
                (weight, plain) = (number(part), 1);
            } else if plain == 1 {
                // A1111's own order: the text encoder's first, then the U-Net's.
                (text, weight, plain) = (weight, number(part), 2);
            }
        }
        let weight = weight.or(text).unwrap_or(1.0);
        let te_weight = text.filter(|text| text.to_bits() != weight.to_bits());
        if !name.is_empty() {
            found.push(FoundLora { name, weight, te_weight, hash: None });
        }
    }
    found
}
