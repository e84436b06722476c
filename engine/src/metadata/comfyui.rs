//! ComfyUI's graph of nodes: the sampler that starts from the empty latent, and what its links lead to.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::json_forms::{number, whole};
use super::{Found, FoundLora, LIMIT, bare_name, seed, tags, tidy};

/// How many links are followed one after the other; a graph may lead in circles.
const MOST_LINKS: usize = 64;

/// Most nodes of a graph that is read.
const MOST_NODES: usize = 10_000;

/// What looking at a node for its text costs besides the bytes of the text.
const VISIT: usize = 1 << 10;

/// What all looking for texts may cost. Nodes that join others' texts could otherwise double them at each link, and links
/// that meet again could be followed in more ways than would ever end.
const MOST_TEXT: usize = 2 * LIMIT;

/// A graph in the form that is sent to be drawn; `None` for anything else.
pub(super) fn parse(value: &Value) -> Option<Found> {
    let nodes = value.as_object().filter(|nodes| nodes.len() <= MOST_NODES)?;
    let graph = Graph { nodes, left: Cell::new(MOST_TEXT) };
    let mut samplers: Vec<(&String, &Value)> = nodes.iter().filter(|(_, node)| is_sampler(node)).collect();
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

struct Graph<'a> {
    nodes: &'a Map<String, Value>,
    /// What is left of [`MOST_TEXT`].
    left: Cell<usize>,
}

impl<'a> Graph<'a> {
    /// The node that a link leads to.
    fn node(&self, link: &Value) -> Option<&'a Value> {
        let [name, _] = link.as_array()?.as_slice() else { return None };
        let node = match name {
            Value::String(name) => self.nodes.get(name),
            Value::Number(name) => self.nodes.get(&name.to_string()),
            _ => None,
        };
        node.filter(|node| node["class_type"].is_string())
    }

    /// Whether a sampler begins at noise: no other sampler comes before it.
    fn starts(&self, sampler: &'a Value) -> bool {
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

    fn found(&self, sampler: &'a Value) -> Found {
        let none = &Value::Null;
        let own = inputs(sampler);
        let beside = |key: &str| self.node(&own[key]).map_or(none, inputs);
        let (guider, sigmas) = (beside("guider"), beside("sigmas"));
        // The first of several places that says it.
        let pick = |places: [(&'a Value, &str); 3]| {
            places.into_iter().map(|(place, key)| self.value(&place[key])).find(|value| !value.is_null())
        };
        let value = |key: &str, other: &'a Value, last: &'a Value| pick([(own, key), (other, key), (last, key)]);
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
        let size = whole(self.value(&latent["width"])).zip(whole(self.value(&latent["height"])));
        let words = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let negative_prompt = tidy(&self.text(negative, 0).unwrap_or_default());
        let spent = self.left.get() == 0;
        let too_much = "The graph joins its texts in more ways than can be followed: the prompts may not be complete.";
        Found {
            program: Some("ComfyUI".to_owned()),
            warnings: spent.then(|| too_much.to_owned()).into_iter().collect(),
            negative_prompt: Some(negative_prompt),
            seed: seed_value.and_then(|value| seed(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
            steps: value("steps", sigmas, none).and_then(whole),
            guidance: value("cfg", guider, none).and_then(number),
            sampler: words(value("sampler_name", beside("sampler"), none)),
            schedule: words(value("scheduler", sigmas, none)),
            denoise: value("denoise", sigmas, none).and_then(number).filter(|share| *share < 1.0),
            clip_skip: self.clip_skip(positive),
            prompt: Some(prompt),
            size,
            model,
            loras,
            ..Found::default()
        }
    }

    /// A value, or what the link in its place leads to: primitives, and nodes that only pass on.
    fn value(&self, mut value: &'a Value) -> &'a Value {
        for _ in 0..MOST_LINKS {
            let Some(node) = self.node(value) else { break };
            let given = inputs(node);
            let named = ["value", "seed", "noise_seed", "int", "float", "number", "string", "text"];
            let next = named.iter().map(|key| &given[*key]).find(|value| !value.is_null()).or_else(|| only_link(given));
            match next {
                Some(next) => value = next,
                None => return &Value::Null,
            }
        }
        if value.is_array() { &Value::Null } else { value }
    }

    /// `None` once all is spent.
    fn spend(&self, cost: usize) -> Option<()> {
        let left = self.left.get().checked_sub(cost);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// The text behind a link or a value.
    fn text(&self, value: &Value, depth: usize) -> Option<String> {
        if let Some(text) = value.as_str() {
            self.spend(text.len())?;
            return Some(text.to_owned());
        }
        let node = self.node(value).filter(|_| depth < MOST_LINKS)?;
        self.spend(VISIT)?;
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
    fn model(&self, mut link: &'a Value) -> (Option<String>, Vec<FoundLora>) {
        let mut loras = Vec::new();
        for _ in 0..MOST_LINKS {
            let Some(node) = self.node(link) else { break };
            let given = inputs(node);
            let name = ["ckpt_name", "unet_name", "model_name"]
                .iter()
                .find_map(|key| self.value(&given[*key]).as_str().map(bare_name));
            if let Some(name) = name {
                return (Some(name).filter(|name| !name.starts_with("urn:")), loras);
            }
            if let Some(name) = self.value(&given["lora_name"]).as_str() {
                let weight = number(self.value(&given["strength_model"])).unwrap_or(1.0);
                let te_weight =
                    number(self.value(&given["strength_clip"])).filter(|te| te.to_bits() != weight.to_bits());
                loras.push(FoundLora { name: bare_name(name), weight, te_weight, hash: None });
            }
            link = Some(&given["model"]).filter(|model| !model.is_null()).or(only_link(given)).unwrap_or(&Value::Null);
        }
        (None, loras)
    }

    /// A1111's counting of the layer that a node in the prompt's way to its text encoder chooses.
    fn clip_skip(&self, mut link: &'a Value) -> Option<u64> {
        for _ in 0..MOST_LINKS {
            let given = inputs(self.node(link)?);
            if let Some(layer) = given["stop_at_clip_layer"].as_i64() {
                return u64::try_from(layer.checked_neg()?).ok();
            }
            let next = ["clip", "conditioning", "positive"].iter().find(|key| given[**key].is_array());
            link = match next {
                Some(key) => &given[*key],
                None => only_link(given)?,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A sampler whose prompts come from node 2.
    fn graph(nodes: &[(usize, Value)]) -> Value {
        let link = json!(["2", 0]);
        let sampler = json!({"steps": 4, "cfg": 2, "sampler_name": "euler", "positive": link, "negative": link,
            "model": link, "latent_image": link, "seed": link});
        let mut graph = json!({"1": {"class_type": "KSampler", "inputs": sampler}});
        for (name, inputs) in nodes {
            graph[name.to_string()] = json!({"class_type": "Node", "inputs": inputs});
        }
        graph
    }

    #[test]
    fn graphs_without_end_are_left() {
        let own = json!(["2", 0]);
        let two = |name: usize| json!([name.to_string(), 0]);
        let twice = |name: usize| (name, json!({"string_a": two(name + 1), "string_b": two(name + 1)}));
        let doubled: Vec<_> = (2..42).map(twice).chain([(42, json!({"text": "hills "}))]).collect();
        for (name, nodes) in [
            ("itself", vec![(2, json!({"text": own, "value": own, "string": own, "prompt": own}))]),
            ("itself twice", vec![(2, json!({"string_a": own, "string_b": own}))]),
            ("2^40 texts", doubled),
        ] {
            let found = parse(&graph(&nodes)).expect(name);
            assert_eq!((found.steps, found.seed), (Some(4), None), "{name}");
            assert_eq!(found.warnings.len(), 1, "{name}");
            assert!(found.prompt.is_some_and(|prompt| prompt.len() <= MOST_TEXT), "{name}");
        }
    }

    #[test]
    fn texts_are_joined() {
        let nodes = [
            (2, json!({"string_a": ["3", 0], "string_b": ["4", 0], "delimiter": ", "})),
            (3, json!({"text": "a lake"})),
            (4, json!({"value": "wide view"})),
        ];
        let found = parse(&graph(&nodes)).expect("a graph");
        assert_eq!(found.prompt.as_deref(), Some("a lake, wide view"));
        assert!(found.warnings.is_empty());
    }
}
