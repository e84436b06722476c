//! Programs that write their settings as JSON, each with keys of its own.

use serde_json::Value;

use super::{Found, FoundLora, OwnRecord, a1111, bare_name, comfyui, seed, tags, tidy};
use crate::png::Record;

/// JSON that stands alone: under the keyword `parameters`, in EXIF, or hidden.
pub(super) fn any(value: &Value) -> Option<Found> {
    if value["sui_image_params"].is_object() {
        return Some(swarmui(value));
    }
    if let Some(inner) = value["Comment"].as_str().and_then(super::json) {
        return Some(novelai(&inner, value["Description"].as_str()));
    }
    if value["v4_prompt"].is_object() || value["uc"].is_string() {
        return Some(novelai(value, None));
    }
    if value["full_prompt"].is_array() || value["metadata_scheme"].is_string() {
        return Some(fooocus(value));
    }
    if value["base_model_name"].is_string() {
        return Some(ruined_fooocus(value));
    }
    if value["PositivePrompt"].is_string() {
        return Some(stability_matrix(value));
    }
    if let Some(found) = comfyui::parse(&value["prompt"]).or_else(|| comfyui::parse(value)) {
        return Some(found);
    }
    if value["use_stable_diffusion_model"].is_string() {
        return easy_diffusion(&|keys| keys.iter().find_map(|key| plain(&value[*key])));
    }
    if value["num_inference_steps"].is_number() || value["resolution"].is_string() {
        return Some(diffusers_space(value));
    }
    None
}

/// This program's own record.
pub(super) fn own(text: &str) -> Option<Found> {
    let record: Record = serde_json::from_str(text).ok()?;
    let settings = record.settings;
    let sound = (1..=50).contains(&settings.steps) && settings.guidance.is_finite() && settings.guidance >= 0.0;
    if !sound {
        return None;
    }
    let own_loras = settings.loras.iter().map(|lora| FoundLora {
        name: bare_name(&lora.file.to_string_lossy()),
        weight: f64::from(lora.weight),
        te_weight: (lora.weight.to_bits() != lora.text_weight.to_bits()).then(|| f64::from(lora.text_weight)),
        hash: None,
    });
    Some(Found {
        program: Some(format!("instaflow {}", record.version)),
        prompt: Some(settings.prompt.clone()),
        negative_prompt: Some(settings.negative_prompt.clone()),
        seed: Some(settings.seed),
        steps: Some(u64::from(settings.steps)),
        guidance: Some(f64::from(settings.guidance)),
        sampler: settings.sampler.map(|sampler| sampler.name().to_owned()),
        schedule: settings.schedule.map(|schedule| schedule.option().to_owned()),
        size: settings.size.map(|(width, height)| (u64::from(width), u64::from(height))),
        model: Some(record.model).filter(|model| !model.is_empty()),
        model_hash: Some(record.model_hash).filter(|hash| !hash.is_empty()),
        clip_skip: (settings.clip_skip != 1).then_some(u64::from(settings.clip_skip)),
        loras: own_loras.chain(tags::loras(&settings.prompt)).collect(),
        blend: settings.blend.clone(),
        own: Some(Box::new(OwnRecord { settings, bf16_products: record.bf16_products })),
        ..Found::default()
    })
}

/// SwarmUI: numbers may be texts.
fn swarmui(value: &Value) -> Found {
    let image = &value["sui_image_params"];
    let mut found = common(
        image,
        "SwarmUI",
        ["prompt", "negativeprompt", "seed", "steps", "cfgscale", "sampler", "scheduler", "model"],
    );
    let names = image["loras"].as_array().cloned().unwrap_or_default();
    let weights = image["loraweights"].as_array().cloned().unwrap_or_default();
    found.loras.extend(names.iter().enumerate().filter_map(|(index, name)| {
        let weight = weights.get(index).and_then(number).unwrap_or(1.0);
        Some(lora(name.as_str()?, weight))
    }));
    found
}

fn fooocus(value: &Value) -> Found {
    let keys = ["prompt", "negative_prompt", "seed", "steps", "guidance_scale", "sampler", "scheduler", "base_model"];
    let mut found = common(value, value["version"].as_str().unwrap_or("Fooocus"), keys);
    found.size = value["resolution"].as_str().and_then(|text| pair(text.trim_matches(['(', ')'])));
    found.model_hash = text(&value["base_model_hash"]);
    found.clip_skip = whole(&value["clip_skip"]);
    for entry in value["loras"].as_array().into_iter().flatten() {
        if let (Some(name), Some(weight)) = (entry[0].as_str(), number(&entry[1])) {
            found.loras.push(FoundLora { hash: text(&entry[2]), ..lora(name, weight) });
        }
    }
    found
}

fn ruined_fooocus(value: &Value) -> Found {
    let keys = ["Prompt", "Negative", "seed", "steps", "cfg", "sampler_name", "scheduler", "base_model_name"];
    let mut found = common(value, "RuinedFooocus", keys);
    found.model_hash = text(&value["base_model_hash"]);
    found.clip_skip = whole(&value["clip_skip"]);
    found
}

/// What demonstrations on the hub write.
fn diffusers_space(value: &Value) -> Found {
    let keys =
        ["prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "sampler", "scheduler", "Model"];
    let mut found = common(value, "Diffusers", keys);
    found.program = None;
    found.model_hash = text(&value["Model hash"]);
    if let Some(size) = value["resolution"].as_str().and_then(a1111::size) {
        found.size = Some(size);
    }
    found
}

fn stability_matrix(value: &Value) -> Found {
    let keys = ["PositivePrompt", "NegativePrompt", "Seed", "Steps", "CfgScale", "Sampler", "Scheduler", "ModelName"];
    let mut found = common(value, "Stability Matrix", keys);
    found.size = whole(&value["Width"]).zip(whole(&value["Height"]));
    found.model_hash = text(&value["ModelHash"]);
    found
}

/// TensorArt's own block beside the graph, which knows what the block leaves open.
pub(super) fn tensorart(value: &Value, graph: Option<Found>) -> Found {
    let graph = graph.unwrap_or_default();
    let keys = ["prompt", "negativePrompt", "seed", "steps", "cfgScale", "ksamplerName", "schedule", "baseModel"];
    let found = common(value, "TensorArt", keys);
    Found {
        seed: found.seed.or(graph.seed),
        model: text(&value["baseModel"]["modelFileName"]).map(|name| bare_name(&name)),
        model_hash: text(&value["baseModel"]["hash"]),
        ..found
    }
}

/// InvokeAI 3 and later.
pub(super) fn invokeai(value: &Value) -> Option<Found> {
    let keys = ["positive_prompt", "negative_prompt", "seed", "steps", "cfg_scale", "scheduler", "", "model"];
    let mut found = common(value, "InvokeAI", keys);
    found.prompt.as_ref()?;
    found.model = text(&value["model"]["name"]).or(text(&value["model"]["model_name"])).map(|name| bare_name(&name));
    for entry in value["loras"].as_array().into_iter().flatten() {
        let name = text(&entry["model"]["name"]).or(text(&entry["lora"]["model_name"]));
        if let (Some(name), Some(weight)) = (name, number(&entry["weight"])) {
            found.loras.push(lora(&name, weight));
        }
    }
    Some(found)
}

/// InvokeAI 2: the negative prompt stands in brackets.
pub(super) fn invokeai_2(value: &Value) -> Option<Found> {
    let image = &value["image"];
    let whole = image["prompt"].as_str().or(image["prompt"][0]["prompt"].as_str())?;
    let mut found = common(image, "InvokeAI", ["", "", "seed", "steps", "cfg_scale", "sampler", "", ""]);
    bracketed(&mut found, whole);
    found.model = text(&value["model_weights"]).map(|name| bare_name(&name));
    found.model_hash = text(&value["model_hash"]);
    Some(found)
}

/// InvokeAI 1: a command line of its own.
pub(super) fn dream(line: &str) -> Option<Found> {
    let rest = line.trim().strip_prefix('"')?;
    let (prompt, options) = rest.rsplit_once('"')?;
    let mut found = Found { program: Some("InvokeAI".to_owned()), ..Found::default() };
    bracketed(&mut found, prompt);
    let words: Vec<&str> = options.split_whitespace().collect();
    let option = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    found.steps = option("-s").and_then(|value| value.parse().ok());
    found.seed = option("-S").and_then(seed);
    found.guidance = option("-C").and_then(|value| value.parse().ok());
    found.sampler = option("-A").map(str::to_owned);
    found.size = option("-W").and_then(|w| w.parse().ok()).zip(option("-H").and_then(|h| h.parse().ok()));
    Some(found)
}

/// `prompt [negative prompt]`
fn bracketed(found: &mut Found, text: &str) {
    let (mut positive, mut negative) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, after)) = after.split_once(']') else { break };
        positive.push_str(before);
        negative.push(inside.trim());
        rest = after;
    }
    positive.push_str(rest);
    found.prompt = Some(tidy(positive.trim()));
    found.negative_prompt = Some(tidy(&negative.join(", ")));
}

/// NovelAI: the newer prompts have captions; the oldest stand in the description alone.
pub(super) fn novelai(value: &Value, description: Option<&str>) -> Found {
    let mut found =
        common(value, "NovelAI", ["prompt", "uc", "seed", "steps", "scale", "sampler", "noise_schedule", ""]);
    if let Some(caption) = text(&value["v4_prompt"]["caption"]["base_caption"]) {
        found.prompt = Some(tidy(&caption));
    }
    found.prompt = found.prompt.or_else(|| description.map(tidy));
    found
}

pub(super) fn mold(value: &Value) -> Found {
    common(value, "mold", ["prompt", "negative_prompt", "seed", "steps", "guidance", "sampler", "scheduler", "model"])
}

/// A text for each setting, under its key or its title.
pub(super) fn easy_diffusion(get: &dyn Fn(&[&str]) -> Option<String>) -> Option<Found> {
    let said = |keys: &[&str]| get(keys).filter(|value| !matches!(value.as_str(), "None" | "False" | ""));
    let steps = said(&["num_inference_steps", "Steps"])?.trim().parse::<f64>().ok()?;
    let prompt = get(&["prompt", "Prompt"])?;
    let number = |keys: &[&str]| said(keys).and_then(|value| value.trim().parse::<f64>().ok());
    let side = |keys: &[&str]| number(keys).map(|side| side as u64);
    Some(Found {
        program: Some("Easy Diffusion".to_owned()),
        loras: tags::loras(&prompt),
        prompt: Some(tidy(&prompt)),
        negative_prompt: Some(tidy(&get(&["negative_prompt", "Negative Prompt"]).unwrap_or_default())),
        seed: said(&["seed", "Seed"]).and_then(|value| seed(&value)),
        steps: Some(steps as u64),
        guidance: number(&["guidance_scale", "Guidance Scale"]),
        sampler: said(&["sampler_name", "Sampler"]),
        size: side(&["width", "Width"]).zip(side(&["height", "Height"])),
        model: said(&["use_stable_diffusion_model", "Stable Diffusion model"]).map(|name| bare_name(&name)),
        ..Found::default()
    })
}

/// Draw Things: JSON in the user comment of XMP, with XML's entities.
pub(super) fn draw_things(xmp: &str) -> Option<Found> {
    let (_, rest) = xmp.split_once("<exif:UserComment>")?;
    let (inside, _) = rest.split_once("</exif:UserComment>")?;
    let start = inside.find('{')?;
    let end = inside.rfind('}')?;
    let value = super::json(&unescaped(inside.get(start..=end)?))?;
    let mut found = common(&value, "Draw Things", ["c", "uc", "seed", "steps", "scale", "sampler", "", "model"]);
    found.prompt.as_ref()?;
    found.size = value["size"].as_str().and_then(a1111::size);
    for entry in value["v2"]["loras"].as_array().into_iter().flatten() {
        if let (Some(name), Some(weight)) = (entry["file"].as_str(), number(&entry["weight"])) {
            found.loras.push(lora(name, weight));
        }
    }
    Some(found)
}

/// Most bytes between `&` and `;`.
const LONGEST_ENTITY: usize = 8;

/// Without XML's five entities and its character references.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        // No further than a name may be long: a search to the end from each of many & would never be done.
        let Some(end) = after.bytes().take(LONGEST_ENTITY + 1).position(|byte| byte == b';') else {
            plain.push('&');
            rest = after;
            continue;
        };
        let (name, tail) = (&after[..end], &after[end + 1..]);
        let code =
            name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16)).or(name.strip_prefix('#').map(str::parse));
        match (name, code) {
            ("amp", _) => plain.push('&'),
            ("lt", _) => plain.push('<'),
            ("gt", _) => plain.push('>'),
            ("quot", _) => plain.push('"'),
            ("apos", _) => plain.push('\''),
            (_, Some(Ok(code))) => plain.extend(char::from_u32(code)),
            _ => {
                plain.push('&');
                rest = after;
                continue;
            }
        }
        rest = tail;
    }
    plain + rest
}

/// What nearly all forms have, under the keys for prompt, negative prompt, seed, steps, scale, sampler, schedule and model;
/// an empty key is not there.
fn common(value: &Value, program: &str, keys: [&str; 8]) -> Found {
    let at = |key: &str| if key.is_empty() { &Value::Null } else { &value[key] };
    let [prompt, negative, seed_key, steps, scale, sampler, schedule, model] = keys;
    let prompt = at(prompt).as_str().map(tidy);
    Found {
        program: Some(program.to_owned()),
        loras: prompt.as_deref().map(tags::loras).unwrap_or_default(),
        prompt,
        negative_prompt: Some(at(negative).as_str().map(tidy).unwrap_or_default()),
        seed: plain(at(seed_key)).and_then(|text| seed(&text)),
        steps: whole(at(steps)),
        guidance: number(at(scale)),
        sampler: text(at(sampler)),
        schedule: text(at(schedule)),
        size: whole(&value["width"]).zip(whole(&value["height"])),
        model: text(at(model)).map(|name| bare_name(&name)),
        ..Found::default()
    }
}

fn lora(name: &str, weight: f64) -> FoundLora {
    FoundLora { name: bare_name(name), weight, te_weight: None, hash: None }
}

/// Two numbers with a comma between them.
fn pair(text: &str) -> Option<(u64, u64)> {
    let (width, height) = text.split_once(',')?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A number or a text as a text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| number(value).filter(|number| *number >= 0.0 && number.fract() == 0.0).map(|n| n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_undone() {
        for (text, plain) in [
            ("a &amp;&lt;b&gt; &quot;c&apos;", "a &<b> \"c'"),
            ("&#233;&#xe9;&#x6e56;", "éé湖"),
            ("a & b; &nbsp; &;", "a & b; &nbsp; &;"),
            ("&é;&湖湖湖湖;&#xfffffffff;", "&é;&湖湖湖湖;&#xfffffffff;"),
            ("&", "&"),
        ] {
            assert_eq!(unescaped(text), plain);
        }
        let many = "&".repeat(4 << 20);
        assert!(unescaped(&many) == many, "as it was");
    }
}
