//! Which files of a repository are needed to draw with it. Safety checkers, pickled weights (`.bin`, `.ckpt`), other
//! programs' formats, pictures and the moving averages without EMA are left where they are. Change here what is fetched.

use serde::{Deserialize, Serialize};

/// Which weights to take where a repository has them in two sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Those without a variant in their names, which have 32 bits as a rule.
    #[default]
    Full,
    /// Those with `.fp16.` in their names: half the size, and all that a device needs that computes in 16 bits.
    Half,
}

/// The folders of a model in Diffusers layout that are used, and whether a model cannot be without them.
const PARTS: [(&str, bool); 7] = [
    ("unet", true),
    ("vae", true),
    ("text_encoder", true),
    ("tokenizer", true),
    ("scheduler", false),
    ("vae_tiny", false),
    ("vocabulary.json", false),
];

const INDEX: &str = "model_index.json";

const WEIGHTS: &str = ".safetensors";

/// The files to fetch of all those in a repository, sorted; the error is the end of a sentence about the repository.
/// `wanted` names them if the catalogue knows.
pub fn select(all: &[String], wanted: Option<&[String]>, weights: Weights) -> Result<Vec<String>, String> {
    let mut chosen = match wanted {
        Some(wanted) => return named(all, wanted),
        None if all.iter().any(|path| path == INDEX) => model_folder(all, weights)?,
        None => single_part(all, weights)?,
    };
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

fn named(all: &[String], wanted: &[String]) -> Result<Vec<String>, String> {
    for name in wanted {
        if !all.contains(name) {
            return Err(format!("has no file {name}: its authors may have renamed or removed it"));
        }
        if is_pickle(name) {
            return Err(format!("gives {name} as pickle, in which code can hide: only safetensors files are fetched"));
        }
    }
    Ok(wanted.to_vec())
}

/// A whole model in Diffusers layout.
fn model_folder(all: &[String], weights: Weights) -> Result<Vec<String>, String> {
    let mut chosen = vec![INDEX.to_owned()];
    for (part, needed) in PARTS {
        if all.iter().any(|path| path == part) {
            chosen.push(part.to_owned());
            continue;
        }
        let inside: Vec<&String> = all.iter().filter(|path| folder(path) == part).collect();
        match part {
            "tokenizer" | "scheduler" => {
                let small = |path: &&&String| has_ending(path, "json") || has_ending(path, "txt");
                chosen.extend(inside.iter().filter(small).map(|path| (*path).clone()));
            }
            _ => chosen.extend(with_weights(&inside, weights)),
        }
        if !needed {
            continue;
        }
        if part == "tokenizer" {
            if !inside.iter().any(|path| path.ends_with("/vocab.json") || path.ends_with("/tokenizer.json")) {
                return Err("has no tokenizer/: it is no model that can be opened here".to_owned());
            }
        } else if !chosen.iter().any(|path| folder(path) == part && path.ends_with(WEIGHTS)) {
            return Err(without(&inside, &format!("in {part}/")));
        } else if !inside.iter().any(|path| path.ends_with("/config.json")) {
            return Err(format!("has no {part}/config.json: it is no model that can be opened here"));
        }
    }
    Ok(chosen)
}

/// A decoder, a ControlNet, a LoRA or a checkpoint in one file: what lies at the top.
fn single_part(all: &[String], weights: Weights) -> Result<Vec<String>, String> {
    let top: Vec<&String> = all.iter().filter(|path| folder(path).is_empty()).collect();
    let chosen = with_weights(&top, weights);
    let models: Vec<&String> = chosen.iter().filter(|path| path.ends_with(WEIGHTS) && !is_shard(path)).collect();
    if !chosen.iter().any(|path| path.ends_with(WEIGHTS)) {
        return Err(without(&top, "at its top"));
    }
    if models.len() > 1 {
        let names = models.iter().take(4).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let more = if models.len() > 4 { " …" } else { "" };
        return Err(format!("holds {} models ({names}{more}): name one of them as ORG/NAME/FILE", models.len()));
    }
    Ok(chosen)
}

/// The config and the weights among the files of one folder.
fn with_weights(inside: &[&String], weights: Weights) -> Vec<String> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let weight_files = inside.iter().filter(|path| {
        let name = name(path);
        let index = name.contains(".safetensors.index") && has_ending(&name, "json");
        (name.ends_with(WEIGHTS) || index) && !name.contains("non_ema") && !name.contains("openvino")
    });
    let (half, full): (Vec<&String>, Vec<&String>) = weight_files.copied().partition(|path| is_half(&name(path)));
    let has_any = |files: &[&String]| files.iter().any(|path| path.ends_with(WEIGHTS));
    let taken = match weights {
        Weights::Half if has_any(&half) => half,
        Weights::Full if !has_any(&full) => half,
        _ => full,
    };
    // Some repositories have a model both whole and in shards.
    let whole = taken.iter().any(|path| path.ends_with(WEIGHTS) && !is_shard(path));
    let taken = taken.into_iter().filter(|path| !whole || (path.ends_with(WEIGHTS) && !is_shard(path)));
    let config = inside.iter().copied().filter(|path| name(path) == "config.json");
    config.chain(taken).cloned().collect()
}

/// The end of a sentence about files that hold no weights that are read here.
fn without(inside: &[&String], place: &str) -> String {
    if inside.iter().any(|path| is_pickle(path)) {
        return format!(
            "has weights {place} only as pickle, in which code can hide: look for one with safetensors files"
        );
    }
    format!("has no safetensors weights {place}: it is no model that can be opened here")
}

fn folder(path: &str) -> &str {
    path.split_once('/').map_or("", |(folder, rest)| if rest.contains('/') { "/" } else { folder })
}

fn is_half(name: &str) -> bool {
    name.contains(".fp16.") || name.contains(".fp16-")
}

/// Whether the name says that this is one of several files: NAME-00001-of-00002.safetensors.
fn is_shard(path: &str) -> bool {
    let stem = path.strip_suffix(WEIGHTS).unwrap_or(path);
    let mut parts = stem.rsplitn(4, '-');
    let digits =
        |part: Option<&str>| part.is_some_and(|part| part.len() == 5 && part.bytes().all(|b| b.is_ascii_digit()));
    digits(parts.next()) && parts.next() == Some("of") && digits(parts.next())
}

fn is_pickle(path: &str) -> bool {
    ["bin", "ckpt", "pt", "pth"].into_iter().any(|ending| has_ending(path, ending))
}

fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    const FOLDER: [&str; 28] = [
        ".gitattributes",
        "README.md",
        "model_index.json",
        "picture.png",
        "feature_extractor/preprocessor_config.json",
        "safety_checker/config.json",
        "safety_checker/model.safetensors",
        "safety_checker/pytorch_model.bin",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "v1-5-pruned-emaonly.safetensors",
        "v1-5-pruned.ckpt",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "vae/onnx/model.onnx",
        "vae_large/diffusion_pytorch_model.safetensors",
    ];

    #[test]
    fn a_model_folder_is_its_parts_and_nothing_else() {
        let all = names(&FOLDER);
        let full = [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "tokenizer/special_tokens_map.json",
            "tokenizer/tokenizer_config.json",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(select(&all, None, Weights::Full), Ok(names(&full)));
        let half = select(&all, None, Weights::Half).expect("a model");
        assert!(half.contains(&"unet/diffusion_pytorch_model.fp16.safetensors".to_owned()));
        assert!(half.contains(&"text_encoder/model.fp16.safetensors".to_owned()));
        assert!(half.contains(&"vae/diffusion_pytorch_model.safetensors".to_owned()), "there is no other");
        assert_eq!(half.len(), full.len());
    }

    #[test]
    fn only_one_size_is_taken_whatever_it_is() {
        let mut all = names(&FOLDER);
        all.retain(|path| path != "unet/diffusion_pytorch_model.safetensors");
        let chosen = select(&all, None, Weights::Full).expect("a model");
        assert!(chosen.contains(&"unet/diffusion_pytorch_model.fp16.safetensors".to_owned()));
        assert!(!chosen.iter().any(|path| path.contains("non_ema")));

        let shards = ["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors", "a.safetensors.index.json"];
        assert_eq!(select(&names(&shards), None, Weights::Full), Ok(names(&shards)));
        let both = names(&[&shards[..], &["a.safetensors"]].concat());
        assert_eq!(select(&both, None, Weights::Full), Ok(names(&["a.safetensors"])));
    }

    #[test]
    fn a_single_part_lies_at_the_top() {
        let net =
            ["README.md", "config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"];
        let net = names(&[&net[..], &["diffusion_pytorch_model.safetensors", "images/a.png"]].concat());
        let chosen = |weights| select(&net, None, weights).expect("a part");
        assert_eq!(chosen(Weights::Full), ["config.json", "diffusion_pytorch_model.safetensors"]);
        assert_eq!(chosen(Weights::Half), ["config.json", "diffusion_pytorch_model.fp16.safetensors"]);
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let refused = |list: &[&str]| select(&names(list), None, Weights::Full).expect_err("no model");
        assert!(refused(&["README.md"]).contains("no safetensors"));
        assert!(refused(&["model.ckpt", "config.json"]).contains("pickle"));
        assert!(refused(&["a.safetensors", "b.safetensors"]).contains("ORG/NAME/FILE"));
        let mut all = names(&FOLDER);
        all.retain(|path| !path.starts_with("unet/") || has_ending(path, "bin") || has_ending(path, "json"));
        let why = select(&all, None, Weights::Full).expect_err("no U-Net");
        assert!(why.contains("unet/") && why.contains("pickle"), "{why}");
        let wanted = names(&["x.safetensors"]);
        assert!(select(&all, Some(&wanted), Weights::Full).expect_err("absent").contains("x.safetensors"));
        let pickle = names(&["v1-5-pruned.ckpt"]);
        assert!(select(&all, Some(&pickle), Weights::Full).expect_err("pickle").contains("pickle"));
    }
}
