//! The stages that train something: their names, their folders, and which of them come before which. Change here what a
//! run can consist of.

/// A stage. Each leaves its weights in its own folder of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pictures to latents and back.
    Autoencoder,
    /// Latents, normalised and then frozen, to pictures.
    Decoder,
    /// What names a scene's attributes.
    Classifier,
    /// A flow after so many reflows: 0 is the base, the 1-rectified flow.
    Flow(u8),
    /// A one-step student.
    Student(Student),
}

/// What a student was distilled from, and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Student {
    /// Reflows of the flow whose pairs it learns from.
    pub from: u8,
    /// U-Nets in series: 1 or [`STACKS`].
    pub stacks: usize,
}

/// U-Nets in a stacked student.
pub const STACKS: usize = 2;

/// Most reflows of a run.
pub const MOST_REFLOWS: u8 = 3;

impl Stage {
    /// The flow from noise to the latents of scenes.
    pub const BASE: Self = Self::Flow(0);

    /// The name of its folder.
    pub fn name(self) -> String {
        match self {
            Self::Autoencoder => "autoencoder".into(),
            Self::Decoder => "decoder".into(),
            Self::Classifier => "classifier".into(),
            Self::Flow(0) => "base".into(),
            Self::Flow(reflows) => format!("reflow-{reflows}"),
            Self::Student(Student { from, stacks }) => {
                let kind = if stacks == 1 { "single" } else { "stacked" };
                format!("distill-{}-{kind}", Self::Flow(from).name())
            }
        }
    }

    /// What people call it: "2-rectified flow" after one reflow.
    pub fn title(self) -> String {
        match self {
            Self::Flow(0) => "base flow".into(),
            Self::Flow(reflows) => format!("{}-rectified flow", reflows + 1),
            Self::Student(Student { from, stacks }) => {
                let kind = if stacks == 1 { "single" } else { "stacked" };
                format!("{} + distill, {kind}", Self::Flow(from).title())
            }
            other => other.name(),
        }
    }

    /// The command that makes it.
    pub fn command(self) -> String {
        match self {
            Self::Flow(0) => "base".into(),
            Self::Flow(reflows) => format!("reflow --from {}", Self::Flow(reflows - 1).name()),
            Self::Student(Student { from, stacks }) => {
                let single = if stacks == 1 { " --single" } else { "" };
                format!("distill --from {}{single}", Self::Flow(from).name())
            }
            other => other.name(),
        }
    }

    /// Keeps the random numbers of the stages apart. All students draw the same ones, so that they differ in nothing
    /// else.
    pub fn seed(self) -> u64 {
        match self {
            Self::Autoencoder => 1,
            Self::Decoder => 2,
            Self::Classifier => 3,
            Self::Flow(reflows) => 10 + u64::from(reflows),
            Self::Student(_) => 20,
        }
    }
}
