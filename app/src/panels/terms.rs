//! One explanation for each term that names a control or a number: everything that tooltips explain is here.

pub const STUDENT: &str = "The student was distilled from the teacher to draw in one step: one evaluation of its network leads from noise to \
     the picture.";
pub const TEACHER: &str =
    "The teacher is a 2-rectified flow: it goes from noise to the picture in many small Euler steps.";
pub const DIFFUSION: &str = "Stable Diffusion is used as the teacher: its sampler removes the noise from the picture \
     in many small steps.";
pub const BASELINE: &str = "The baseline is the model that reflow started from: the base flow, or Stable Diffusion. It \
     draws the same prompt from the same noise.";
pub const OTHER_NOISE: &str =
    "Its latents have another shape than the student's, so the two cannot start from the same noise.";
pub const SAMPLER: &str = "How Stable Diffusion steps from noise to picture. With the same number of steps, DPM++ 2M \
                           follows the path more closely than DDIM.";
pub const BASELINE_STEPS: &str = "Number of steps of the baseline's sampler (for a flow, Euler steps). It uses the \
     teacher's negative prompt.";
pub const RECTIFIED: &str = "Stable Diffusion's path is shown in a rectified flow's time and scale, x/(α + σ) at t = α/(α + σ), where its \
     velocity is the predicted image less the predicted noise.";
pub const ONE_STEP: &str =
    "The student was distilled to draw in one step, without guidance and without a negative prompt.";
pub const STEPS: &str = "Number of steps from noise to picture (for a flow, Euler steps). More steps follow a bent path more closely and \
     take longer.";
pub const GUIDANCE: &str = "How strongly the prompt guides the picture, away from the negative prompt. 1 is off; 1 to \
     2 is best for a 2-rectified flow, about 5 for Stable Diffusion.";
pub const NEGATIVE: &str = "What to avoid. It has an effect if guidance is above 1.";
pub const LORA: &str = "LoRAs change what a model draws: a style, a person, a thing. They are files of differences \
     that are added to its weights, each made for one kind of model.";
pub const LORA_WEIGHT: &str =
    "How much of it the U-Net takes. 1 is what it was made for, 0 is none, below 0 the opposite.";
pub const LORA_TEXT_WEIGHT: &str = "How much of it the text encoder takes. It follows the U-Net's until you move it.";
pub const SEED: &str = "Seed of the noise. The same seed gives the same picture, and the same noise as in Diffusers.";
pub const STRAIGHTNESS: &str = "Straightness S: how far the velocity strays from the straight line between noise and picture, squared and averaged \
     over the path. 0 is straight, and a straight path needs one step.";
pub const NFE: &str = "Number of function evaluations: how often the network ran. With guidance it runs twice a step.";
pub const TIME: &str = "From the prompt to pixels, on this machine.";
pub const RATIO: &str = "How many times as long as the student's each picture took.";
pub const PSNR: &str = "Peak signal-to-noise ratio between the two pictures in dB: above 30 they are hard to tell apart, below 15 they are \
     different pictures.";
pub const GMSD: &str = "Gradient magnitude similarity deviation: how unevenly the edges of the two pictures agree. At \
     0 all edges agree; above about 0.2 the shapes differ.";
pub const DIFFERENCE: &str = "Mean absolute difference of red, green and blue, from 0 to 255.";
pub const SPEED: &str =
    "Length of the velocity at each step, per value of the latent. On a straight path it stays the same.";
pub const DEVIATION: &str =
    "Squared distance of each step's velocity from the straight line; its mean is the straightness S.";
pub const ESTIMATE: &str = "This step's estimate of the final picture: x + (1 − t)·v.";
pub const SPREAD: &str = "How far the variations' noise is from this picture's. Small values give similar pictures; \
     100 % gives independent seeds.";
pub const SECOND_SEED: &str = "Moves along the arc between the noise of two seeds (spherical interpolation).";
pub const SECOND_PROMPT: &str = "Moves along the line between the text embeddings of two prompts.";
