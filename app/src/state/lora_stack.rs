//! The LoRAs that the person has added: which files, how much of each, and which models take them. What they do to the
//! weights is the engine's.

use std::path::{Path, PathBuf};

use instaflow_engine::protocol::{Lora, Role};
use serde::{Deserialize, Serialize};

use super::recipe::clamp;

/// The most of a LoRA that is ever taken, in either direction.
pub(crate) const MOST: f32 = 4.0;

/// One LoRA of the stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackedLora {
    /// The safetensors file.
    pub file: PathBuf,
    /// How much of it the U-Net takes.
    pub weight: f32,
    /// How much of it the text encoder takes.
    pub text_weight: f32,
    /// Whether the student takes it.
    #[serde(default = "yes")]
    pub student: bool,
    /// Whether the teacher takes it.
    #[serde(default = "yes")]
    pub teacher: bool,
    /// Whether the baseline takes it.
    #[serde(default = "yes")]
    pub baseline: bool,
}

fn yes() -> bool {
    true
}

impl StackedLora {
    /// All of it, for every model.
    pub fn new(file: PathBuf) -> Self {
        Self { file, weight: 1.0, text_weight: 1.0, student: true, teacher: true, baseline: true }
    }

    /// Its file's name without the ending.
    pub(crate) fn name(&self) -> String {
        self.file.file_stem().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned()
    }

    fn takes(&self, role: Role) -> bool {
        match role {
            Role::Student => self.student,
            Role::Teacher => self.teacher,
            Role::Baseline => self.baseline,
        }
    }

    pub(crate) fn takes_mut(&mut self, role: Role) -> &mut bool {
        match role {
            Role::Student => &mut self.student,
            Role::Teacher => &mut self.teacher,
            Role::Baseline => &mut self.baseline,
        }
    }
}

/// What the model of this role takes, in the order of the stack.
pub(super) fn of(stack: &[StackedLora], role: Role) -> Vec<Lora> {
    let taken = stack.iter().filter(|lora| lora.takes(role));
    taken.map(|lora| Lora { file: lora.file.clone(), weight: lora.weight, text_weight: lora.text_weight }).collect()
}

/// Makes the model of this role take these and no others; what the other models take stays.
pub(super) fn take_over(stack: &mut Vec<StackedLora>, role: Role, loras: Vec<Lora>) {
    for lora in stack.iter_mut() {
        *lora.takes_mut(role) = false;
    }
    for Lora { file, weight, text_weight } in loras {
        let same = stack.iter_mut().find(|lora| lora.file == file && !lora.takes(role));
        if let Some(lora) = same {
            (lora.weight, lora.text_weight) = (weight, text_weight);
            *lora.takes_mut(role) = true;
        } else {
            let mut lora = StackedLora { weight, text_weight, ..StackedLora::new(file) };
            for other in [Role::Student, Role::Teacher, Role::Baseline] {
                *lora.takes_mut(other) = other == role;
            }
            stack.push(lora);
        }
    }
    stack.retain(|lora| lora.student || lora.teacher || lora.baseline);
}

/// The same with every weight where its slider can put it.
pub(super) fn clamped(stack: Vec<StackedLora>) -> Vec<StackedLora> {
    let bound = |weight: f32| clamp(weight, -MOST, MOST, 1.0);
    let bounded = stack.into_iter().map(|lora| {
        let (weight, text_weight) = (bound(lora.weight), bound(lora.text_weight));
        StackedLora { weight, text_weight, ..lora }
    });
    bounded.collect()
}

/// The same LoRAs, bit for bit.
pub(super) fn same(one: &[StackedLora], other: &[StackedLora]) -> bool {
    let bits = |lora: &StackedLora| (lora.weight.to_bits(), lora.text_weight.to_bits());
    let switches = |lora: &StackedLora| (lora.student, lora.teacher, lora.baseline);
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| a.file == b.file && bits(a) == bits(b) && switches(a) == switches(b))
}

/// Whether a file can be told from the others of a stack.
pub(crate) fn holds(stack: &[StackedLora], file: &Path) -> bool {
    stack.iter().any(|lora| lora.file == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(file: &str, weight: f32) -> Lora {
        Lora { file: file.into(), weight, text_weight: weight }
    }

    #[test]
    fn each_model_takes_its_own() {
        let mut stack = vec![StackedLora::new("a.safetensors".into()), StackedLora::new("b.safetensors".into())];
        stack[1].student = false;
        assert_eq!(of(&stack, Role::Student), [lora("a.safetensors", 1.0)]);
        assert_eq!(of(&stack, Role::Teacher).len(), 2);

        take_over(&mut stack, Role::Student, vec![lora("b.safetensors", 0.5), lora("c.safetensors", -1.0)]);
        assert_eq!(of(&stack, Role::Student), [lora("b.safetensors", 0.5), lora("c.safetensors", -1.0)]);
        assert_eq!(of(&stack, Role::Teacher), [lora("a.safetensors", 1.0), lora("b.safetensors", 0.5)]);

        for role in [Role::Student, Role::Teacher, Role::Baseline] {
            take_over(&mut stack, role, Vec::new());
        }
        assert!(stack.is_empty(), "nobody takes them");
    }

    #[test]
    fn weights_stay_numbers() {
        let mut odd = StackedLora::new("a.safetensors".into());
        (odd.weight, odd.text_weight) = (f32::NAN, 9000.0);
        let stack = clamped(vec![odd]);
        assert!(same(&stack, &[StackedLora { text_weight: MOST, ..StackedLora::new("a.safetensors".into()) }]));
    }
}
