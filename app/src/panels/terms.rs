//! One explanation for each term that names a control or a number: everything that tooltips explain is here.

pub const STUDENT: &str = "The student was distilled from the teacher to draw in one step: one evaluation of its network leads from noise to \
     the picture.";
pub const TEACHER: &str =
    "The teacher is a 2-rectified flow: it follows its velocity from noise to the picture in many small Euler steps.";
pub const DIFFUSION: &str = "Stable Diffusion stands in the teacher's place: it takes the noise out of the picture in many small steps of its own \
     sampler.";
pub const BASELINE: &str = "The baseline is what reflow began with: the base flow, or Stable Diffusion. It draws the same prompt from the same \
     noise.";
pub const OTHER_NOISE: &str =
    "Its latents have another shape than the student's, so that the two cannot begin at the same noise.";
pub const SAMPLER: &str = "How Stable Diffusion steps from noise to picture: DPM++ 2M follows the path more closely in as many steps as DDIM.";
pub const BASELINE_STEPS: &str = "Steps of the baseline's own sampler: the one chosen for Stable Diffusion, Euler's for a flow. The negative prompt is \
     the teacher's.";
pub const RECTIFIED: &str = "Stable Diffusion's path is shown in a rectified flow's time and scale, x/(α + σ) at t = α/(α + σ), where its \
     velocity is the predicted image less the predicted noise.";
pub const ONE_STEP: &str =
    "The student was distilled to draw in one step, without guidance and without a negative prompt.";
pub const STEPS: &str =
    "Steps from noise to picture, Euler's for a flow: more steps follow a bent path more closely, and take longer.";
pub const GUIDANCE: &str = "How strongly the prompt pulls: the velocity is led away from the negative prompt's. 1 is off; 1 to 2 is best for a \
     2-rectified flow, about 5 for Stable Diffusion.";
pub const NEGATIVE: &str = "What the teacher steers away from; it works where guidance is above 1.";
pub const SEED: &str = "Seed of the noise. The same seed gives the same picture, and the same noise as in Diffusers.";
pub const STRAIGHTNESS: &str = "Straightness S: how far the velocity strays from the straight line between noise and picture, squared and averaged \
     over the path. 0 is straight, and a straight path needs one step.";
pub const NFE: &str =
    "Number of function evaluations: how often the network was asked for a velocity. Guidance asks twice a step.";
pub const TIME: &str = "From the prompt to pixels, on this machine.";
pub const RATIO: &str = "How many times as long each picture took as the student's.";
pub const PSNR: &str = "Peak signal-to-noise ratio between the two pictures in dB: above 30 they are hard to tell apart, below 15 they are \
     different pictures.";
pub const GMSD: &str = "Gradient magnitude similarity deviation: how unevenly the edges of the two pictures agree. 0 where all agree; from \
     about 0.2 on the shapes are others.";
pub const DIFFERENCE: &str = "Mean absolute difference of red, green and blue, of 255.";
pub const SPEED: &str =
    "Length of the velocity at each step, per value of the latent. On a straight path it stays the same.";
pub const DEVIATION: &str =
    "Squared distance of each step's velocity from the straight line; its mean is the straightness S.";
pub const ESTIMATE: &str = "What this step took the final picture to be: x + (1 − t)·v.";
pub const SPREAD: &str = "How far the variations' noise lies from this picture's: a little gives pictures much like it, 100 % seeds of their \
     own.";
pub const SECOND_SEED: &str = "Moves along the arc between the noise of two seeds (spherical interpolation).";
pub const SECOND_PROMPT: &str = "Moves along the line between the text embeddings of two prompts.";
