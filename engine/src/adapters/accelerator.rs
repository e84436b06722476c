//! LoRAs that let a diffusion model draw in a few steps. A flow has no use for them. Add another one's name here.

/// Words in the names of their files: latent consistency (Luo et al. 2023, arXiv 2311.05556), trajectory consistency (Zheng
/// et al. 2024, arXiv 2402.19159), piecewise rectified flow (Yan et al. 2024, arXiv 2405.07510).
const WORDS: [&str; 3] = ["lcm", "tcd", "perflow"];

/// Whether a name is that of one of them.
pub(super) fn is_one(name: &str) -> bool {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // Hyper-SD (Ren et al. 2024, arXiv 2404.13686), but not everything that is called hyper.
    let hyper = words.windows(2).any(|pair| pair[0] == "hyper" && pair[1].starts_with("sd"));
    hyper || words.iter().any(|word| WORDS.contains(word) || word.starts_with("lcmlora"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_published_ones_are_known() {
        for name in ["lcm-lora-sdv1-5", "Hyper-SD15-1step-lora", "TCD-SD15-LoRA", "perflow-sd15-lora", "lcm_sd15"] {
            assert!(is_one(name), "{name}");
        }
        for name in ["hyperrealism", "Hyper detail", "ink", "calcms", "", "lightning storm"] {
            assert!(!is_one(name), "{name}");
        }
    }
}
