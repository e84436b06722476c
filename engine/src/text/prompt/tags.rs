//! `<lora:NAME:WEIGHT>` and its kin, which are no words: they are taken out of the prompt before anything else.
//!
//! The forms are A1111's (`modules/extra_networks.py`, `extensions-builtin/Lora`), except that a second number is the text
//! encoder's, as `--lora` has it.

use super::{ParsedPrompt, Traced, quoted};

/// A LoRA that a prompt names: `<lora:NAME>`, `<lora:NAME:WEIGHT>`, `<lora:NAME:WEIGHT:TEXT_WEIGHT>`, or with the numbers
/// named: `unet=`, `te=`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraTag {
    /// A file's name without its ending, or the name that the file gives itself.
    pub name: String,
    /// How much of it the U-Net takes; 1 if the tag does not say. It is finite, and may be negative.
    pub weight: f32,
    /// How much of it the text encoder takes; `None` is as much as the U-Net.
    pub text_weight: Option<f32>,
}

/// The prompt without tags. LoRAs go to `parsed`, and remarks on tags that cannot be honoured.
pub(super) fn take_out(prompt: &Traced, parsed: &mut ParsedPrompt) -> Traced {
    let text = prompt.as_str();
    let mut rest = Traced::default();
    let (mut kept, mut at) = (0, 0);
    // The next end of a tag, so that no part of the prompt is searched twice.
    let mut end = text.find('>');
    let mut unlike = Remarks::default();
    while let Some(start) = text[at..].find('<').map(|found| at + found) {
        at = start + 1;
        if end.is_some_and(|end| end < at) {
            end = text[at..].find('>').map(|found| at + found);
        }
        let Some(close) = end else { break };
        let inside = &text[at..close];
        // The last of several openings begins the tag.
        if let Some(last) = inside.rfind('<') {
            at += last;
            continue;
        }
        let Some((kind, arguments)) = inside.split_once(':') else { continue };
        let taken = match kind {
            "lora" | "lyco" => match lora(arguments) {
                Ok(tag) => {
                    parsed.loras.push(tag);
                    true
                }
                Err(why) => {
                    unlike.lora.get_or_insert_with(|| format!("<{}> is left out: {why}.", quoted(inside)));
                    true
                }
            },
            "hypernet" => {
                let remark = || format!("<{}> is left out: hypernetworks are not supported.", quoted(inside));
                unlike.hypernet.get_or_insert_with(remark);
                true
            }
            _ => false,
        };
        if taken {
            rest.push(prompt, kept..start);
            (kept, at) = (close + 1, close + 1);
        }
    }
    rest.push(prompt, kept..text.len());
    parsed.remarks.extend(unlike.lora.into_iter().chain(unlike.hypernet));
    rest
}

/// The first of each kind.
#[derive(Default)]
struct Remarks {
    lora: Option<String>,
    hypernet: Option<String>,
}

/// What follows `<lora:`. The error says what is wrong with it.
fn lora(arguments: &str) -> Result<LoraTag, String> {
    let mut parts = arguments.split(':').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty()).ok_or("it has no name")?.to_owned();
    let (mut numbers, mut unet, mut text) = (Vec::new(), None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("unet", value)) => unet = Some(number(value)?),
            Some(("te", value)) => text = Some(number(value)?),
            None if numbers.len() < 2 => numbers.push(number(part)?),
            // The third number, and `dyn=`, choose a rank when a file is loaded: nothing that changes the full one.
            None | Some(("dyn", _)) => {}
            Some((key, _)) => return Err(format!("\"{}\" is unknown", quoted(key))),
        }
    }
    let first = numbers.first().copied();
    let text_weight = text.or(numbers.get(1).copied());
    let tag = match (unet.or(first), text_weight) {
        (Some(weight), text_weight) => {
            // With `unet=` alone, the text encoder takes what it would without it.
            let text_weight = text_weight.or(unet.is_some().then_some(first.unwrap_or(1.0)));
            LoraTag { name, weight, text_weight: text_weight.filter(|text| text.to_bits() != weight.to_bits()) }
        }
        (None, weight) => LoraTag { name, weight: weight.unwrap_or(1.0), text_weight: None },
    };
    Ok(tag)
}

fn number(text: &str) -> Result<f32, String> {
    let number = text.trim().parse::<f32>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("\"{}\" is not a number", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(prompt: &str) -> (String, ParsedPrompt) {
        let mut parsed = ParsedPrompt::default();
        let rest = take_out(&Traced::whole(prompt), &mut parsed);
        (rest.as_str().to_owned(), parsed)
    }

    #[test]
    fn tags_are_read_and_leave_the_text() {
        for (tag, name, weight, text_weight) in [
            ("<lora:mist>", "mist", 1.0, None),
            ("<lora:mist-detail:0.8>", "mist-detail", 0.8, None),
            ("<lyco:mist: -0.5 >", "mist", -0.5, None),
            ("<lora:a b.v2:0.8:0.3>", "a b.v2", 0.8, Some(0.3)),
            ("<lora:a:0.8:0.8>", "a", 0.8, None),
            ("<lora:a:te=0.5:unet=1.5>", "a", 1.5, Some(0.5)),
            ("<lora:a:unet=0.7>", "a", 0.7, Some(1.0)),
            ("<lora:a:0.7:te=0>", "a", 0.7, Some(0.0)),
            ("<lora:a:te=0.5>", "a", 0.5, None),
            ("<lora:a:1:0.5:8>", "a", 1.0, Some(0.5)),
            ("<lora:a:1:dyn=8>", "a", 1.0, None),
        ] {
            let (rest, parsed) = take(&format!("a lake, {tag} at dusk"));
            assert_eq!(rest, "a lake,  at dusk", "{tag}");
            assert_eq!(parsed.loras, [LoraTag { name: name.to_owned(), weight, text_weight }], "{tag}");
            assert!(parsed.remarks.is_empty(), "{tag}: {:?}", parsed.remarks);
        }
        let (rest, parsed) = take("<lora:a:1><lora:b:2> fox");
        assert_eq!((rest.as_str(), parsed.loras.len()), (" fox", 2));
    }

    #[test]
    fn what_is_no_tag_stays() {
        for prompt in ["a < b > c", "<cat-toy>", "<lora:x", "lora:x>", "<lora>", "<:>", "<b:x>", "a <3 <lora:x:1 < 2"] {
            let (rest, parsed) = take(prompt);
            assert_eq!(rest, prompt);
            assert_eq!((parsed.loras.len(), parsed.remarks.len()), (0, 0), "{prompt}");
        }
        let (rest, parsed) = take("a <3 <lora:x:1> b");
        assert_eq!((rest.as_str(), parsed.loras.len()), ("a <3  b", 1));
    }

    #[test]
    fn what_cannot_be_honoured_is_said_once() {
        let (rest, parsed) = take("<lora:x:nan>a<lora:y:z><hypernet:h:1><lora::1><hypernet:i:1>");
        assert_eq!((rest.as_str(), parsed.loras.len()), ("a", 0));
        assert_eq!(
            parsed.remarks,
            [
                "<lora:x:nan> is left out: \"nan\" is not a number.",
                "<hypernet:h:1> is left out: hypernetworks are not supported."
            ]
        );
    }
}
