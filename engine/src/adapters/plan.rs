//! What a list of adapters changes in a model: the two networks' tensors by name, each with what is done to it. All of it is
//! known to fit before anything is changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::file::{Adapter, Module, Part, Stamp};
use super::fit::{self, Of};
use super::names::{self, Meant, Place};
use crate::checkpoint::Base;
use crate::layers::Registry;
use crate::{Error, Result};

/// An adapter, and how much of it the networks take; both may be negative.
#[derive(Clone, Debug)]
pub(crate) struct Weighed {
    pub adapter: Arc<Adapter>,
    pub weight: f32,
    pub text_weight: f32,
}

/// A model, as far as adapters are concerned.
pub(crate) struct Model<'a> {
    /// With residual blocks per level.
    pub unet: (&'a Registry, usize),
    pub text: &'a Registry,
    /// Width of its text embeddings, which tells the families of models apart.
    pub text_width: usize,
    /// Whether it is a flow.
    pub is_flow: bool,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub unet: Changes,
    pub text: Changes,
    /// What is to be said about it.
    pub remarks: Vec<String>,
}

/// The changes of a network's tensors, by name.
pub(crate) type Changes = BTreeMap<String, Vec<Change>>;

/// What one adapter does to a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(super) adapter: Arc<Adapter>,
    /// Under which the adapter speaks of the layer.
    pub(super) key: String,
    pub(super) of: Of,
    pub(super) weight: f32,
}

impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        let bits = |change: &Self| change.weight.to_bits();
        (bits(self), self.of, &self.key) == (bits(other), other.of, &other.key)
            && (Arc::ptr_eq(&self.adapter, &other.adapter) || self.adapter.stamp == other.adapter.stamp)
    }
}

/// What decides a plan for one model.
pub(super) type Entry = (Stamp, u32, u32);

impl Weighed {
    pub(super) fn entry(&self) -> Entry {
        (self.adapter.stamp.clone(), self.weight.to_bits(), self.text_weight.to_bits())
    }
}

/// Plans the changes. An adapter that fits nothing, or that does not fit what it names, is an error.
pub(crate) fn plan(model: &Model<'_>, adapters: &[Weighed]) -> Result<Plan> {
    let network = |place, registry| Network::new(place, registry, model);
    let unet = network(Place::UNet { layers_per_block: model.unet.1 }, model.unet.0);
    let text = network(Place::TextEncoder, model.text);
    let (mut plan, mut remarks) = (Plan::default(), Vec::new());
    let mut say = |remark: String| {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    };
    for weighed in adapters {
        let adapter = &weighed.adapter;
        let (theirs, ours) = (known(adapter.kind.base), model.base());
        if theirs.is_some() && ours.is_some() && theirs != ours {
            return Err(adapter.fault(format!("{}: use one for {}", model.foreign(adapter), model.name())));
        }
        adapter.check_values()?;
        let keys = adapter.modules.values().map(|module| module.parts.len()).sum::<usize>() + adapter.unknown.0;
        let mut unmatched = adapter.unknown.1.clone();
        let matched = text.plan(&mut plan.text, weighed, weighed.text_weight, &mut unmatched)?
            + unet.plan(&mut plan.unet, weighed, weighed.weight, &mut unmatched)?;
        if matched == 0 {
            return Err(adapter.fault(format!("matches no layer of this model: it {}", model.foreign(adapter))));
        }
        let name = adapter.name();
        if let (true, Some(key)) = (matched < keys, unmatched) {
            say(format!("{} of {keys} keys of {name} match nothing in this model, such as {key}.", keys - matched));
        }
        if model.is_flow && adapter.is_accelerator() {
            say(format!(
                "{name} makes diffusion models draw in a few steps; this model is a flow, whose pictures it may spoil."
            ));
        }
    }
    plan.remarks = remarks;
    Ok(plan)
}

impl Model<'_> {
    fn base(&self) -> Option<Base> {
        [Base::Sd1, Base::Sd2].into_iter().find(|base| base.text_width() == Some(self.text_width))
    }

    fn name(&self) -> String {
        match self.base() {
            Some(base) => base.name().to_owned(),
            None => format!("one whose text embeddings are {} wide", self.text_width),
        }
    }

    /// For which models an adapter and this one are.
    fn foreign(&self, adapter: &Adapter) -> String {
        match known(adapter.kind.base) {
            Some(base) if Some(base) == self.base() => {
                format!("was made for another variant of {}, which this model is, too", base.name())
            }
            Some(base) => format!("was made for {}, but this model is {}", base.name(), self.name()),
            None => format!("was made for another base model, and this model is {}", self.name()),
        }
    }
}

fn known(base: Base) -> Option<Base> {
    (base != Base::Unknown).then_some(base)
}

/// One of a model's networks.
struct Network<'a> {
    place: Place,
    registry: &'a Registry,
    keys: HashMap<String, Meant<'a>>,
    /// How many layers have numbers in the first program's files.
    numbered: usize,
    model: &'a Model<'a>,
}

impl<'a> Network<'a> {
    fn new(place: Place, registry: &'a Registry, model: &'a Model<'a>) -> Self {
        let layers: Vec<&str> = registry.layers().collect();
        let (keys, numbered) = (names::keys(place, &layers), names::numbered(place, &layers));
        Self { place, registry, keys, numbered, model }
    }

    /// Adds what an adapter changes here, and gives the number of its keys that match. The first key that does not becomes
    /// `unmatched`.
    fn plan(
        &self,
        changes: &mut Changes,
        weighed: &Weighed,
        weight: f32,
        unmatched: &mut Option<String>,
    ) -> Result<usize> {
        let adapter = &weighed.adapter;
        let modules = || adapter.modules.iter().filter(|(key, _)| names::belongs(self.place, key));
        self.check_numbers(adapter)?;
        let mut matched = 0;
        // What the adapter has for a tensor counts once, in whichever numbering it comes.
        let mut taken = HashSet::new();
        for original in [false, true] {
            for (key, module) in modules() {
                let Some(meant) = self.keys.get(key).filter(|meant| meant.original == original) else { continue };
                for of in [Of::Weight, Of::Bias] {
                    let parts = parts(module, of);
                    if parts.is_empty() {
                        continue;
                    }
                    let tensors = meant.layers.iter().map(|layer| format!("{layer}.{}", of.name()));
                    let tensors: Vec<String> = tensors.filter(|name| self.registry.shape(name).is_some()).collect();
                    if tensors.is_empty() {
                        unmatched.get_or_insert_with(|| parts[0].to_owned());
                        continue;
                    }
                    matched += parts.len();
                    for tensor in tensors {
                        self.check(adapter, key, module, of, &tensor)?;
                        if taken.insert(tensor.clone()) && weight != 0.0 {
                            let change = Change { adapter: adapter.clone(), key: key.clone(), of, weight };
                            changes.entry(tensor).or_default().push(change);
                        }
                    }
                }
            }
        }
        let first = modules().find(|(key, _)| !self.keys.contains_key(*key));
        if let Some(name) = first.and_then(|(_, module)| module.parts.values().next()) {
            unmatched.get_or_insert_with(|| name.clone());
        }
        Ok(matched)
    }

    fn check(&self, adapter: &Adapter, key: &str, module: &Module, of: Of, tensor: &str) -> Result<()> {
        let shape = self.registry.shape(tensor).unwrap_or_default();
        fit::check(adapter, module, of, shape)
            .map_err(|misfit| adapter.fault(misfit.sentence(key, shape, &self.model.foreign(adapter))))
    }

    /// Numbers mean what they should only if every layer has one.
    fn check_numbers(&self, adapter: &Adapter) -> Result<(), Error> {
        let numbers = adapter.modules.keys().filter(|key| names::is_numbered(key) && names::belongs(self.place, key));
        match numbers.count() {
            0 => Ok(()),
            count if count == self.numbered => Ok(()),
            count => Err(adapter.fault(format!(
                "numbers {count} layers instead of naming them, but this model has {} of that kind: \
                 which is which cannot be told, so fetch it in the form of kohya or Diffusers",
                self.numbered
            ))),
        }
    }
}

/// The keys of a module that are for one tensor of a layer.
fn parts(module: &Module, of: Of) -> Vec<&str> {
    let for_it = |part: &Part| Of::part(*part) == of;
    let parts: Vec<&str> =
        module.parts.iter().filter(|(part, _)| for_it(part)).map(|(_, name)| name.as_str()).collect();
    // A layer of which only the bias changes may have an alpha all the same.
    let changes = module.parts.keys().any(|part| for_it(part) && !matches!(part, Part::Alpha | Part::OnInput));
    if changes { parts } else { Vec::new() }
}
