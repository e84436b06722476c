//! ComfyUI's graph of nodes: the sampler that starts from the empty latent, and what its links lead to.

use serde_json::{Map, Value};

use super::json_forms::{number, whole};
use super::{Found, FoundLora, bare_name, seed, tags, tidy};

/// How many links are followed one after the other; a graph may lead in circles.
const MOST_LINKS: usize = 64;

/// Most nodes of a graph that is read.
const MOST_NODES: usize = 10_000;

/// A graph in the form that is sent to be drawn; `None` for anything else.
pub(super) fn parse(value: &Value) -> Option<Found> {
    let graph = Graph(value.as_object().filter(|nodes| nodes.len() <= MOST_NODES)?);
    let mut samplers: Vec<(&String, &Value)> = graph.0.iter().filter(|(_, node)| is_sampler(node)).collect();
    // Numbers in their order, other names after them.
    samplers.sort_by_key(|(name, _)| (name.parse::<u64>().unwrap_or(u64::MAX), (*name).clone()));
    let (_, sampler) = *samplers.iter().find(|(_, node)| graph.starts(node)).or(samplers.first())?;
    Some(graph.found(sampler))
}

/// What a node is given.
fn inputs(node: &Value) -> &Value {
    &node["inputs"]
}

fn is_sampler(node: &Value) -> bool {
    let inputs = inputs(node);
    let plain = ["steps", "cfg", "sampler_name"].iter().all(|key| !inputs[*key].is_null());
    node["class_type"].is_string() && (plain || (!inputs["guider"].is_null() && !inputs["sigmas"].is_null()))
}

struct Graph<'a>(&'a Map<String, Value>);

impl<'a> Graph<'a> {
    /// The node that a link leads to.
    fn node(&self, link: &Value) -> Option<&'a Value> {
        let [name, _] = link.as_array()?.as_slice() else { return None };
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        self.0.get(&name).filter(|node| node["class_type"].is_string())
    }

    /// Whether a sampler begins at noise: no other sampler comes before it.
    fn starts(&self, sampler: &Value) -> bool {
        let mut latent = &inputs(sampler)["latent_image"];
        for _ in 0..MOST_LINKS {
            let Some(node) = self.node(latent) else { return true };
            if is_sampler(node) {
                return false;
            }
            let given = inputs(node);
            let next =
                ["samples", "latent", "latent_image", "pixels", "image"].iter().find(|key| given[**key].is_array());
            match next {
                Some(key) => latent = &given[*key],
                None => return true,
            }
        }
        true
    }

    fn found(&self, sampler: &Value) -> Found {
        let own = inputs(sampler);
        let beside = |key: &str| self.node(&own[key]).map_or(&Value::Null, inputs);
        let (guider, sigmas) = (beside("guider"), beside("sigmas"));
        // The first of several places that says it.
        let pick = |places: [(&'a Value, &str); 3]| {
            places.into_iter().map(|(place, key)| self.value(&place[key])).find(|value| !value.is_null())
        };
        let own: &'a Value = self.0.values().find(|node| std::ptr::eq(*node, sampler)).map_or(&Value::Null, inputs);
        let value = |key: &str, other: &'a Value, last: &'a Value| pick([(own, key), (other, key), (last, key)]);
        let none = &Value::Null;
        let noise = beside("noise");
        let seed_value = value("seed", noise, none).or_else(|| value("noise_seed", noise, none));
        let positive = if own["positive"].is_null() { &guider["positive"] } else { &own["positive"] };
        let positive = if positive.is_null() { &guider["conditioning"] } else { positive };
        let negative = if own["negative"].is_null() { &guider["negative"] } else { &own["negative"] };
        let model = if own["model"].is_null() { &guider["model"] } else { &own["model"] };
        let prompt = tidy(&self.text(positive, 0).unwrap_or_default());
        let (model, mut loras) = self.model(model);
        loras.reverse();
        loras.extend(tags::loras(&prompt));
        let latent = self.node(&own["latent_image"]).map_or(none, inputs);
        let size = whole(&self.value(&latent["width"])).zip(whole(&self.value(&latent["height"])));
        let words = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        Found {
            program: Some("ComfyUI".to_owned()),
            negative_prompt: Some(tidy(&self.text(negative, 0).unwrap_or_default())),
            seed: seed_value.and_then(|value| seed(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
            steps: value("steps", sigmas, none).as_ref().and_then(whole),
            guidance: value("cfg", guider, none).as_ref().and_then(number),
            sampler: words(value("sampler_name", beside("sampler"), none)),
            schedule: words(value("scheduler", sigmas, none)),
            denoise: value("denoise", sigmas, none).as_ref().and_then(number).filter(|share| *share < 1.0),
            clip_skip: self.clip_skip(positive),
            prompt: Some(prompt),
            size,
            model,
            loras,
            ..Found::default()
        }
    }

    /// A value, or what the link in its place leads to: primitives, and nodes that only pass on.
    fn value(&self, value: &Value) -> Value {
        let mut value = value.clone();
        for _ in 0..MOST_LINKS {
            let Some(node) = self.node(&value) else { break };
            let given = inputs(node);
            let named = ["value", "seed", "noise_seed", "int", "float", "number", "string", "text"];
            let next = named.iter().map(|key| &given[*key]).find(|value| !value.is_null()).or_else(|| only_link(given));
            match next {
                Some(next) => value = next.clone(),
                None => return Value::Null,
            }
        }
        if value.is_array() { Value::Null } else { value }
    }

    /// The text behind a link or a value.
    fn text(&self, value: &Value, depth: usize) -> Option<String> {
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        let node = self.node(value).filter(|_| depth < MOST_LINKS)?;
        // Zeros are no prompt.
        if node["class_type"] == "ConditioningZeroOut" {
            return None;
        }
        let given = inputs(node);
        if !given["string_a"].is_null() || !given["string_b"].is_null() {
            let parts = ["string_a", "string_b"].map(|key| self.text(&given[key], depth + 1).unwrap_or_default());
            return Some(parts.join(given["delimiter"].as_str().unwrap_or_default()));
        }
        for key in ["text", "value", "string", "prompt", "text_g", "conditioning", "conditioning_1", "positive"] {
            if let Some(text) = self.text(&given[key], depth + 1) {
                return Some(text);
            }
        }
        self.text(only_link(given)?, depth + 1)
    }

    /// The checkpoint at the end of a chain of models, and the LoRAs on the way, nearest to the sampler first.
    fn model(&self, link: &Value) -> (Option<String>, Vec<FoundLora>) {
        let (mut loras, mut link) = (Vec::new(), link.clone());
        for _ in 0..MOST_LINKS {
            let Some(node) = self.node(&link) else { break };
            let given = inputs(node);
            let name = ["ckpt_name", "unet_name", "model_name"]
                .iter()
                .find_map(|key| self.value(&given[*key]).as_str().map(bare_name));
            if let Some(name) = name {
                return (Some(name).filter(|name| !name.starts_with("urn:")), loras);
            }
            if let Some(name) = self.value(&given["lora_name"]).as_str() {
                let weight = number(&self.value(&given["strength_model"])).unwrap_or(1.0);
                let te_weight =
                    number(&self.value(&given["strength_clip"])).filter(|te| te.to_bits() != weight.to_bits());
                loras.push(FoundLora { name: bare_name(name), weight, te_weight, hash: None });
            }
            link = if given["model"].is_null() {
                only_link(given).cloned().unwrap_or_default()
            } else {
                given["model"].clone()
            };
        }
        (None, loras)
    }

    /// A1111's counting of the layer that a node in the prompt's way to its text encoder chooses.
    fn clip_skip(&self, positive: &Value) -> Option<u64> {
        let mut link = positive.clone();
        for _ in 0..MOST_LINKS {
            let given = inputs(self.node(&link)?);
            if let Some(layer) = given["stop_at_clip_layer"].as_i64() {
                return u64::try_from(layer.checked_neg()?).ok();
            }
            let next = ["clip", "conditioning", "positive"].iter().find(|key| given[**key].is_array());
            link = match next {
                Some(key) => given[*key].clone(),
                None => only_link(given)?.clone(),
            };
        }
        None
    }
}

/// The one link of a node that passes on.
fn only_link(inputs: &Value) -> Option<&Value> {
    let mut links = inputs.as_object()?.values().filter(|value| value.is_array());
    let link = links.next()?;
    links.next().is_none().then_some(link)
}
