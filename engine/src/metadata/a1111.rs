//! A1111's text and that of its kin: the prompt, a line `Negative prompt: …`, and a line of `Key: value` pairs.

use serde_json::Value;

use super::{Found, FoundEmbedding, bare_name, seed, tags, tidy};

/// A block as A1111 shows it under a picture, pasted as text; `None` unless it has a line of settings.
#[must_use]
pub fn a1111_block(text: &str) -> Option<Found> {
    settings_line(&text.lines().collect::<Vec<_>>())?;
    parse(text, true)
}

/// Reads a text. A `strict` one counts only with a line of settings, or with a negative prompt.
pub(super) fn parse(text: &str, strict: bool) -> Option<Found> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_matches(['\n', ' ', '\0']);
    if text.is_empty() {
        return None;
    }
    let lines: Vec<&str> = text.lines().collect();
    let settings = settings_line(&lines);
    let before = &lines[..settings.as_ref().map_or(lines.len(), |(at, _)| *at)];
    let negative = before.iter().position(|line| line.trim_start().starts_with(NEGATIVE));
    if strict && settings.is_none() && negative.is_none() {
        return None;
    }
    let prompt = tidy(&before[..negative.unwrap_or(before.len())].join("\n"));
    let negative_prompt = negative.map_or_else(String::new, |at| {
        let text = before[at..].join("\n");
        let text = text.trim_start();
        tidy(text[NEGATIVE.len()..].trim_start_matches(' '))
    });
    let mut found = Found {
        loras: tags::loras(&prompt),
        prompt: Some(prompt),
        negative_prompt: Some(negative_prompt),
        ..Found::default()
    };
    if let Some((_, pairs)) = settings {
        take(&mut found, &pairs);
    }
    Some(found)
}

const NEGATIVE: &str = "Negative prompt:";

type Pairs = Vec<(String, String)>;

fn take(found: &mut Found, pairs: &Pairs) {
    let get =
        |key: &str| pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str());
    let number = |key: &str| get(key).and_then(|value| value.trim().parse::<f64>().ok()).filter(|n| n.is_finite());
    let text = |key: &str| get(key).filter(|value| !value.is_empty()).map(str::to_owned);
    found.steps = number("Steps").filter(|steps| *steps >= 0.0 && steps.fract() == 0.0).map(|steps| steps as u64);
    found.guidance = number("CFG scale");
    found.seed = get("Seed").and_then(seed);
    found.size = get("Size").and_then(size);
    found.sampler = text("Sampler");
    found.schedule = text("Schedule type").or(text("Scheduler"));
    found.model = text("Model").map(|name| bare_name(&name));
    found.model_hash = text("Model hash");
    found.clip_skip = number("Clip skip").map(|layer| layer as u64);
    found.denoise = number("Denoising strength");
    found.program = text("Version");
    let named = |key: &str| -> Vec<(String, String)> {
        let list = get(key).unwrap_or_default().split(',');
        list.filter_map(|entry| entry.split_once(':'))
            .map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned()))
            .collect()
    };
    let hashes = named("Lora hashes");
    for lora in &mut found.loras {
        lora.hash = hashes.iter().find(|(name, _)| *name == lora.name).map(|(_, hash)| hash.clone());
    }
    for (name, weight) in named("Lora weights") {
        let hash = hashes.iter().find(|(other, _)| *other == name).map(|(_, hash)| hash.clone());
        if let (Ok(weight), false) = (weight.parse(), found.loras.iter().any(|lora| lora.name == name)) {
            found.loras.push(super::FoundLora { name, weight, te_weight: None, hash });
        }
    }
    for (name, hash) in named("TI hashes") {
        // A1111 names one for the prompt and again for the negative prompt.
        if !found.embeddings.iter().any(|embedding| embedding.name == name) {
            found.embeddings.push(FoundEmbedding { name, hash: Some(hash) });
        }
    }
}

/// The last line that is one of settings, and its pairs: it begins with a pair, has two or more, and says steps, scale or
/// seed in a number, or a size.
fn settings_line(lines: &[&str]) -> Option<(usize, Pairs)> {
    lines.iter().enumerate().rev().find_map(|(at, line)| {
        let pairs = pairs(line);
        let says = pairs.iter().any(|(key, value)| {
            let key = key.to_ascii_lowercase();
            match key.as_str() {
                "steps" | "cfg scale" | "seed" => value.trim().parse::<f64>().is_ok(),
                "size" => size(value).is_some(),
                _ => false,
            }
        });
        (pairs.len() >= 2 && says).then_some((at, pairs))
    })
}

/// `Key: value, Key: "value, in quotes", Key: [value, in brackets]`; empty if the line does not begin so.
fn pairs(line: &str) -> Pairs {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    let mut brackets = true;
    while let Some((key, after)) = rest.split_once(':') {
        let plain = |c: char| c.is_alphanumeric() || " -_/()".contains(c);
        if key.is_empty() || key.len() > 64 || !key.chars().all(plain) {
            break;
        }
        let after = after.trim_start();
        let end = value_end(after, &mut brackets);
        let mut value = after[..end].trim_end().to_owned();
        if value.starts_with('"') {
            value = serde_json::from_str(&value).unwrap_or(value);
        } else if let Some((whole, part)) = value.split_once(',').filter(|(a, b)| digits(a) && digits(b)) {
            // `7,5` as many languages write it.
            value = format!("{whole}.{part}");
        }
        pairs.push((key.trim().to_owned(), value));
        rest = after[end..].trim_start_matches([',', ' ']);
    }
    pairs
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a value ends: at its closing quotation mark, at the comma after its closing bracket, else at the next comma that
/// no digits surround. A bracket that never closes ends the search for others in the line: each would read all of it.
fn value_end(text: &str, brackets: &mut bool) -> usize {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        if let Some(Ok(_)) = values.next() {
            return values.byte_offset();
        }
    }
    if *brackets && text.starts_with(['(', '[', '{']) {
        let mut depth = 0_i32;
        let mut quoted = false;
        for (at, character) in text.char_indices() {
            match character {
                '"' => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if depth <= 0 => return at,
                _ => {}
            }
        }
        if depth <= 0 {
            return text.len();
        }
        *brackets = false;
    }
    let comma = text.find(',').unwrap_or(text.len());
    if let Some(after) = text.get(comma + 1..).filter(|_| digits(&text[..comma])) {
        let next = after.find(',').unwrap_or(after.len());
        if digits(&after[..next]) {
            return comma + 1 + next;
        }
    }
    comma
}

/// `512x768`, with or without blanks.
pub(super) fn size(text: &str) -> Option<(u64, u64)> {
    let (width, height) = text.split_once(['x', 'X', '×'])?;
    let size = (width.trim().parse().ok()?, height.trim().parse().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_brackets_end_at_the_comma_after_them() {
        for (value, says) in [
            ("(x)é", "(x)é"),
            ("[x]湖 y", "[x]湖 y"),
            ("[a, b]", "[a, b]"),
            ("(a, (b, c)) d", "(a, (b, c)) d"),
            ("{\"a\": [1, 2]}", "{\"a\": [1, 2]}"),
            ("(a))", "(a))"),
            ("(never closed", "(never closed"),
        ] {
            let found = a1111_block(&format!("a lake\nSteps: 20, Sampler: {value}, Seed: 5")).expect(value);
            assert_eq!((found.sampler.as_deref(), found.seed), (Some(says), Some(5)), "{value}");
        }
    }

    #[test]
    fn lines_of_many_brackets_are_read_once() {
        for tail in ["a: (, ".repeat(200_000), format!("a: (){}x", " ".repeat(2_000_000)), "a: \"(, ".repeat(200_000)] {
            let found = a1111_block(&format!("a lake\nSteps: 20, Seed: 5, {tail}")).expect("a block");
            assert_eq!((found.steps, found.seed), (Some(20), Some(5)));
        }
    }
}
