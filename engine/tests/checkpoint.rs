//! Model folders, right and wrong. Every mistake is one sentence that names the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use instaflow_engine::checkpoint::{self, Component, Files, ModelFolder, Opened};
use instaflow_engine::protocol::{OpenRequest, Source};
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_engine::vae::Autoencoder;
use instaflow_engine::{Cancel, Error};
use instaflow_test_support::{assert_error, copy_folder, fixture};
use tempfile::TempDir;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A file in a folder, spelt as this system spells it.
fn inside(folder: &Path, file: &str) -> PathBuf {
    folder.join(file).components().collect()
}

/// A folder of its own for each test, with copies of the fixture's parts in it.
fn copy(parts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in parts {
        copy_folder(&fixture(from), &folder.path().join(to));
    }
    folder
}

fn open(path: &Path) -> Result<ModelFolder, Error> {
    ModelFolder::open(&Files::open_folder(path)?, None, None)
}

fn open_request(request: &OpenRequest) -> Result<Opened, Error> {
    checkpoint::open(request)
}

fn folder(path: &Path) -> Source {
    Source::Folder(path.to_owned())
}

fn check_unet(unet: &Component) -> Result<checkpoint::Size, Error> {
    let config: UNetConfig = unet.parse()?;
    unet.check(DType::F32, |vb| UNet::new(vb, &config))
}

/// Writes a safetensors file whose header is this text and whose data are this many zeros.
fn write_safetensors(path: &Path, header: &str, data: usize) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    fs::write(path, bytes).unwrap();
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// The tensors of a safetensors file.
fn load(path: &Path) -> std::collections::HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

#[test]
fn the_fixture_opens_with_its_sizes() {
    let model = open(&fixture("model")).unwrap();
    assert_eq!(model.name(), "model");
    assert_eq!(model.size(), (128, 128));
    assert_eq!((model.latent_channels(), model.latent_factor()), (4, 8));
    assert_eq!(model.hash().len(), 10);
    assert!(model.vae_tiny().is_none());
    assert_eq!(model.tokenizer().unwrap().limit(), 77);
    assert_eq!(model.vae().class(), Some("AutoencoderKL"));
}

#[test]
fn a_check_counts_what_the_network_needs() {
    let model = open(&fixture("model")).unwrap();
    let size = check_unet(model.unet()).unwrap();
    let all = load(&fixture("model").join(UNET)).values().map(|tensor| tensor.elem_count() as u64).sum::<u64>();
    assert_eq!(size, checkpoint::Size { parameters: all, bytes: all * 4 });
}

#[test]
fn tensors_are_read_in_the_asked_type() {
    let model = open(&fixture("model")).unwrap();
    let expected = load(&fixture("model").join(UNET));
    let (name, expected) = ("conv_in.weight", &expected["conv_in.weight"]);
    assert_eq!(expected.dtype(), DType::F16, "the fixture is stored in 16 bits");
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let tensor = model.unet().builder(dtype, &Device::Cpu, &Cancel::default()).get(expected.shape(), name).unwrap();
        assert_eq!(tensor.dtype(), dtype);
        let values = |tensor: &Tensor| {
            let flat = tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            flat.to_vec1::<f32>().unwrap()
        };
        assert_eq!(values(&tensor), values(expected));
    }
    let get = |name: &str| model.unet().builder(DType::F32, &Device::Cpu, &Cancel::default()).get((1, 2), name);
    assert_error(get(name), "[1, 2] is expected");
    assert_error(get("nowhere"), "nowhere is missing");
}

#[test]
fn bf16_variants_shards_and_old_names_are_read() {
    let folder = copy(&[("model", "")]);
    let before = open(folder.path()).unwrap();
    let (size, digest) = (check_unet(before.unet()).unwrap(), before.unet().digest().to_owned());
    let file = inside(folder.path(), UNET);

    // Two shards and their index: the same content, whatever else lies in a shard.
    let mut tensors: Vec<_> = load(&file).into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (number, shard) in [first, second].into_iter().enumerate() {
        let name = format!("diffusion_pytorch_model-0000{}-of-00002.safetensors", number + 1);
        map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
        let mut contents: std::collections::HashMap<_, _> = shard.iter().cloned().collect();
        contents.insert("extra".into(), Tensor::zeros(3, DType::I64, &Device::Cpu).unwrap());
        candle_core::safetensors::save(&contents, folder.path().join("unet").join(name)).unwrap();
    }
    let index = folder.path().join("unet/diffusion_pytorch_model.safetensors.index.json");
    fs::write(&index, serde_json::json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
    fs::remove_file(&file).unwrap();
    let sharded = open(folder.path()).unwrap();
    assert_eq!(check_unet(sharded.unet()).unwrap(), size);
    assert_eq!(sharded.unet().digest(), digest);

    // A tensor that the index ascribes to the wrong shard, a shard outside the folder, a shard that is missing.
    let expect = |edit: &dyn Fn(&mut serde_json::Value), says: &str| {
        let good = fs::read(&index).unwrap();
        edit_json(&index, edit);
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
        fs::write(&index, good).unwrap();
    };
    let second_name = "diffusion_pytorch_model-00002-of-00002.safetensors";
    expect(&|index| index["weight_map"][first[0].0.as_str()] = second_name.into(), &first[0].0);
    expect(&|index| index["weight_map"]["a"] = "../../secret.safetensors".into(), "not a safetensors file");
    expect(&|index| index["weight_map"]["a"] = "other.safetensors".into(), "other.safetensors: is missing");
    expect(&|index| *index = serde_json::json!({"weight_map": {}}), "lists no files");
    expect(&|index| *index = serde_json::json!([1]), "is not an index");
    fs::remove_file(&index).unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("not the index"));

    // A bf16 file under the name of a variant.
    let narrow = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::BF16).unwrap()));
    let narrow: std::collections::HashMap<_, _> = narrow.collect();
    candle_core::safetensors::save(&narrow, folder.path().join("unet/diffusion_pytorch_model.bf16.safetensors"))
        .unwrap();
    let variant = open(folder.path()).unwrap();
    assert_eq!(check_unet(variant.unet()).unwrap(), size);
    assert_ne!(variant.unet().digest(), digest);

    // The names that Diffusers gave the autoencoder's attention before 0.18.
    let file = inside(folder.path(), "vae/diffusion_pytorch_model.safetensors");
    let renames = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let old: std::collections::HashMap<_, _> = load(&file)
        .into_iter()
        .map(|(name, tensor)| {
            let old =
                renames.iter().fold(name, |name, (new, old)| name.replace(&format!(".{new}."), &format!(".{old}.")));
            (old, tensor)
        })
        .collect();
    assert!(old.contains_key("decoder.mid_block.attentions.0.query.weight"));
    candle_core::safetensors::save(&old, &file).unwrap();
    assert_eq!(open(folder.path()).unwrap().vae().digest(), before.vae().digest());
}

#[test]
fn mistakes_in_a_folder_are_named() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str, &str); 21] = [
        (|p| fs::remove_dir_all(p.join("unet")).unwrap(), "", "no unet/"),
        (|p| fs::remove_dir_all(p.join("vae")).unwrap(), "vae", "does not exist"),
        (|p| fs::remove_file(p.join("unet/config.json")).unwrap(), "unet/config.json", "is missing"),
        (|p| fs::write(p.join("unet/config.json"), "{").unwrap(), "unet/config.json", "not valid JSON"),
        (|p| fs::write(p.join("unet/config.json"), "[]").unwrap(), "unet/config.json", "not an object"),
        (|p| fs::write(p.join("unet/config.json"), vec![b' '; 2 << 20]).unwrap(), "unet/config.json", "too many"),
        (|p| fs::remove_file(p.join(UNET)).unwrap(), "unet", "holds no weights"),
        (
            |p| fs::rename(p.join(UNET), p.join("unet/diffusion_pytorch_model.bin")).unwrap(),
            "unet",
            "diffusion_pytorch_model.bin, which can run code",
        ),
        (|p| fs::rename(p.join(UNET), p.join("unet/my.safetensors")).unwrap(), "unet", "my.safetensors"),
        (|p| fs::write(p.join(UNET), "").unwrap(), UNET, "only 0 bytes"),
        (|p| fs::write(p.join(UNET), "version https://git-lfs.github.com/spec/v1\n").unwrap(), UNET, "git lfs pull"),
        (|p| fs::write(p.join(UNET), vec![0xff; 64]).unwrap(), UNET, "claims a header"),
        (|p| fs::write(p.join(UNET), 1000u64.to_le_bytes()).unwrap(), UNET, "ends within its header"),
        (|p| write_safetensors(&p.join(UNET), "{{{{", 0), UNET, "header that is not valid"),
        (
            |p| {
                let bytes = fs::read(p.join(UNET)).unwrap();
                fs::write(p.join(UNET), &bytes[..bytes.len() - 1]).unwrap();
            },
            UNET,
            "cut short",
        ),
        (
            |p| {
                let mut bytes = fs::read(p.join(UNET)).unwrap();
                bytes.extend([0; 3]);
                fs::write(p.join(UNET), bytes).unwrap();
            },
            UNET,
            "3 bytes that its header does not list",
        ),
        (
            |p| edit_json(&p.join("unet/config.json"), |c| c["cross_attention_dim"] = 32.into()),
            "unet/config.json",
            "do not belong together",
        ),
        (
            |p| edit_json(&p.join("unet/config.json"), |c| c["_class_name"] = "FluxTransformer2DModel".into()),
            "unet/config.json",
            "FluxTransformer2DModel",
        ),
        (
            |p| edit_json(&p.join("unet/config.json"), |c| c["sample_size"] = 1e9.into()),
            "unet/config.json",
            "sample_size",
        ),
        (
            |p| edit_json(&p.join("vae/config.json"), |c| c["block_out_channels"] = vec![8; 99].into()),
            "vae/config.json",
            "block_out_channels",
        ),
        (
            |p| edit_json(&p.join("model_index.json"), |c| c["_class_name"] = "FluxPipeline".into()),
            "model_index.json",
            "FluxPipeline",
        ),
    ];
    for (spoil, file, says) in cases {
        let folder = copy(&[("model", "")]);
        spoil(folder.path());
        let error = open(folder.path()).expect_err(says);
        let message = error.to_string();
        let path = if file.is_empty() { folder.path().to_owned() } else { inside(folder.path(), file) };
        assert!(message.starts_with(&format!("{}: ", path.display())), "{file}: {message}");
        assert!(message.contains(says), "{says}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

/// Headers that lie about their tensors: refused before anything is read by them.
#[test]
fn hostile_headers_are_refused() {
    let folder = copy(&[("model", "")]);
    let file = inside(folder.path(), UNET);
    let tensor =
        |shape: &str, from: u64, to: u64| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#);
    let huge = 1u64 << 60;
    let hostile = [
        // More numbers than bytes.
        (format!(r#"{{"a":{}}}"#, tensor("[1000000]", 0, 8)), 8),
        // A shape whose product overflows.
        (format!(r#"{{"a":{}}}"#, tensor("[4294967296, 4294967296, 4294967296]", 0, 8)), 8),
        // Offsets that run backwards, overlap, or leave the file.
        (format!(r#"{{"a":{}}}"#, tensor("[2]", 8, 0)), 8),
        (format!(r#"{{"a":{},"b":{}}}"#, tensor("[2]", 0, 8), tensor("[2]", 4, 12)), 12),
        (format!(r#"{{"a":{}}}"#, tensor(&format!("[{}]", huge / 4), 0, huge)), 8),
        // Sixteen tensors whose sizes add up to a small number, modulo 2^64.
        (
            format!(
                "{{{}}}",
                (0..16u64)
                    .map(|i| {
                        let (from, to) = (huge.wrapping_mul(i), huge.wrapping_mul(i + 1));
                        format!(r#""t{i}":{}"#, tensor(&format!("[{}]", huge / 4), from, to))
                    })
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            0,
        ),
        // No numbers where numbers belong, and a type that does not exist.
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#.into(), 8),
        (r#"{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#.into(), 8),
        // Nesting without end.
        (format!(r#"{{"a":{}"#, "[".repeat(100_000)), 0),
    ];
    for (header, data) in hostile {
        write_safetensors(&file, &header, data);
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.starts_with(&file.display().to_string()), "{message}");
    }
    // Well-formed, but without the U-Net's tensors: opens, and the check says what is missing.
    write_safetensors(&file, &format!(r#"{{"a":{}}}"#, tensor("[2]", 0, 8)), 8);
    let message = check_unet(open(folder.path()).unwrap().unet()).unwrap_err().to_string();
    assert!(message.starts_with(&file.display().to_string()) && message.contains("lacks the tensor"), "{message}");
}

#[test]
fn a_check_finds_what_contradicts_the_config() {
    let expect = |edit: &dyn Fn(&mut serde_json::Value), file: &str, says: &str| {
        let folder = copy(&[("model", "")]);
        edit_json(&folder.path().join("unet/config.json"), edit);
        let model = open(folder.path()).unwrap();
        let message = check_unet(model.unet()).unwrap_err().to_string();
        assert!(message.starts_with(&inside(folder.path(), file).display().to_string()), "{message}");
        assert!(message.contains(says), "{message}");
    };
    let config = "unet/config.json";
    expect(&|c| c["block_out_channels"] = vec![16, 32, 32, 64].into(), UNET, "config.json makes it");
    expect(&|c| c["layers_per_block"] = 3.into(), UNET, "lacks the tensor");
    expect(&|c| c["layers_per_block"] = 1_000_000.into(), UNET, "lacks the tensor");
    expect(&|c| c["num_stacks"] = 2.into(), UNET, "stack.0");
    expect(&|c| c["down_block_types"][0] = "AttnDownBlock3D".into(), config, "AttnDownBlock3D");
    expect(&|c| c["down_block_types"] = "DownBlock2D".into(), config, "has down_block_types = ");
    expect(&|c| c["mid_block_type"] = 3.into(), config, "has mid_block_type = 3, which is wrong");
    expect(&|c| c["time_cond_proj_dim"] = 256.into(), config, "time_cond_proj_dim is 256");
    // Numbers that would divide by zero, overflow, or ask for more memory than there is.
    expect(&|c| c["block_out_channels"] = vec![0; 4].into(), config, "block_out_channels holds 0");
    expect(&|c| c["block_out_channels"] = vec![1u64 << 62; 4].into(), config, "1048576 is expected");
    expect(&|c| c["layers_per_block"] = u64::MAX.into(), config, "layers_per_block holds");
    expect(&|c| c["attention_head_dim"] = 0.into(), config, "0 attention heads");
    expect(&|c| c["norm_num_groups"] = 0.into(), config, "0 groups");
    expect(&|c| c["downsample_padding"] = u64::MAX.into(), config, "downsample_padding");
    expect(
        &|c| {
            c["block_out_channels"] = serde_json::json!([]);
            c["down_block_types"] = serde_json::json!([]);
            c["up_block_types"] = serde_json::json!([]);
        },
        config,
        "0 levels",
    );

    // The autoencoders and the text encoder alike.
    let expect = |part: &str, edit: &dyn Fn(&mut serde_json::Value), says: &str| {
        let folder = copy(&[("model", ""), ("vae_tiny", "vae_tiny")]);
        edit_json(&folder.path().join(part).join("config.json"), edit);
        let component = Component::open(&Files::open_folder(&folder.path().join(part)).unwrap()).unwrap();
        let error = match part {
            "text_encoder" => {
                let config: TextConfig = component.parse().unwrap();
                component.check(DType::F32, |vb| TextEncoder::new(vb, &config)).unwrap_err()
            }
            _ => component.check(DType::F32, |vb| Autoencoder::new(vb, component.config())).unwrap_err(),
        };
        let (message, config) = (error.to_string(), format!("{part}/config.json"));
        assert!(message.contains(&config) && message.contains(says), "{message}");
    };
    expect("vae", &|c| c["layers_per_block"] = 1_000_000_000_000u64.into(), "layers_per_block holds");
    expect("vae", &|c| c["layers_per_block"] = 0.into(), "layers_per_block holds 0");
    expect("vae", &|c| c["block_out_channels"] = vec![0; 4].into(), "block_out_channels holds 0");
    expect("vae", &|c| c["latent_channels"] = u64::MAX.into(), "latent_channels holds");
    expect("vae_tiny", &|c| c["decoder_block_out_channels"] = vec![1u64 << 62; 4].into(), "block_out_channels holds");
    expect("vae_tiny", &|c| c["latent_channels"] = 0.into(), "latent_channels holds 0");
    expect("text_encoder", &|c| c["hidden_size"] = 0.into(), "hidden_size holds 0");
    expect("text_encoder", &|c| c["num_attention_heads"] = 0.into(), "0 attention heads");
    expect("text_encoder", &|c| c["num_hidden_layers"] = u64::MAX.into(), "num_hidden_layers holds");

    // Whole numbers where the network computes with fractions.
    let folder = copy(&[("model", "")]);
    let file = inside(folder.path(), UNET);
    let mut tensors = load(&file);
    tensors.insert("conv_out.bias".into(), Tensor::zeros(4, DType::I64, &Device::Cpu).unwrap());
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let message = check_unet(open(folder.path()).unwrap().unet()).unwrap_err().to_string();
    assert!(message.contains("conv_out.bias as I64"), "{message}");
}

#[test]
fn a_network_loads_as_it_was_checked() {
    let model = open(&fixture("model")).unwrap();
    let config: UNetConfig = model.unet().parse().unwrap();
    check_unet(model.unet()).unwrap();
    UNet::new(model.unet().builder(DType::F32, &Device::Cpu, &Cancel::default()), &config).unwrap();
    let stacked = Component::open(&Files::open_folder(&fixture("stacked_unet")).unwrap()).unwrap();
    assert_eq!(stacked.class(), Some("StackedUNet2DConditionModel"));
    check_unet(&stacked).unwrap();
}

#[test]
fn a_pair_shares_what_the_student_lacks() {
    let pair = copy(&[
        ("model", "teacher"),
        ("vae_tiny", "teacher/vae_tiny"),
        ("stacked_unet", "student/unet"),
        ("model/vae", "student/vae"),
    ]);
    let Opened { student: Some(student), teacher: Some(teacher), baseline: None } =
        open_request(&OpenRequest { model: folder(pair.path()), ..OpenRequest::default() }).unwrap()
    else {
        panic!("a pair holds both")
    };
    assert!(Arc::ptr_eq(student.text_encoder(), teacher.text_encoder()));
    assert!(Arc::ptr_eq(student.vae_tiny().unwrap(), teacher.vae_tiny().unwrap()));
    assert_eq!(student.vae().digest(), teacher.vae().digest(), "equal contents in two places");
    assert_ne!(student.unet().digest(), teacher.unet().digest());
    assert_ne!(student.hash(), teacher.hash());
    assert_eq!(student.name(), teacher.name());
    assert_eq!(student.tokenizer().unwrap().limit(), 77);
    let ids = checkpoint::open_tokenizer(&folder(pair.path())).unwrap().encode("a cat");
    assert_eq!(ids[..4], [49406, 320, 2368, 49407]);

    fs::remove_dir_all(pair.path().join("teacher")).unwrap();
    let message = checkpoint::open_tokenizer(&folder(pair.path())).unwrap_err().to_string();
    assert!(message.contains("no teacher/"), "{message}");
}

#[test]
fn two_folders_make_a_pair() {
    let single = OpenRequest { model: folder(&fixture("model")), ..OpenRequest::default() };
    let roles = |request: &OpenRequest| {
        let opened = open_request(request).unwrap();
        (opened.student.is_some(), opened.teacher.is_some())
    };
    assert_eq!(roles(&single), (true, false));
    assert_eq!(roles(&OpenRequest { as_teacher: true, ..single.clone() }), (false, true));
    let both = OpenRequest { teacher: Some(folder(&fixture("model"))), ..single.clone() };
    assert_eq!(roles(&both), (true, true));

    let tiny = OpenRequest { tiny_decoder: Some(fixture("vae_tiny")), ..both.clone() };
    let opened = open_request(&tiny).unwrap();
    assert!(opened.student.unwrap().vae_tiny().is_some() && opened.teacher.unwrap().vae_tiny().is_some());

    let wrong = OpenRequest { tiny_decoder: Some(fixture("model/vae")), ..single.clone() };
    assert!(open_request(&wrong).unwrap_err().to_string().contains("AutoencoderTiny is expected"));
    let other = copy(&[("vae_tiny", "")]);
    edit_json(&other.path().join("config.json"), |config| config["num_decoder_blocks"] = vec![3, 1].into());
    let wrong = OpenRequest { tiny_decoder: Some(other.path().into()), ..single };
    assert!(open_request(&wrong).unwrap_err().to_string().contains("enlarged 2 times"));
}

#[test]
fn paths_that_are_no_folder_are_named() {
    let expect = |path: &Path, says: &str| {
        let message = checkpoint::open_tokenizer(&folder(path)).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    };
    expect(Path::new("/nowhere/at/all"), "does not exist");
    expect(&fixture("vae_tiny"), "tokenizer: does not exist");
}

#[test]
fn a_tokenizer_larger_than_the_text_encoder_is_refused() {
    let folder = copy(&[("model", "")]);
    edit_json(&folder.path().join("text_encoder/config.json"), |config| config["vocab_size"] = 49407.into());
    let message = open(folder.path()).unwrap().tokenizer().unwrap_err().to_string();
    assert!(message.contains("knows 49407"), "{message}");

    // A prompt's ids are filled up to the limit: it must not be a matter of gigabytes.
    edit_json(&folder.path().join("text_encoder/config.json"), |config| {
        config["vocab_size"] = 49408.into();
        config["max_position_embeddings"] = u64::MAX.into();
    });
    edit_json(&folder.path().join("tokenizer/tokenizer_config.json"), |config| {
        config["model_max_length"] = 1e30.into();
    });
    let message = checkpoint::open_tokenizer(&Source::Folder(folder.path().into())).unwrap_err().to_string();
    assert!(message.contains("at most 65536 are possible"), "{message}");
    edit_json(&folder.path().join("text_encoder/config.json"), |config| {
        config.as_object_mut().unwrap().remove("max_position_embeddings");
    });
    let tokenizer = checkpoint::open_tokenizer(&Source::Folder(folder.path().into())).unwrap();
    assert_eq!(tokenizer.limit(), 77, "the text encoder's default");
}

/// The embedded form: the fixture's configs around weights at an odd address.
#[test]
fn files_inside_the_binary_are_read_alike() {
    fn leak(part: &str) -> &'static [u8] {
        let mut bytes = vec![0];
        bytes.extend(fs::read(fixture("vae_tiny").join(part)).unwrap());
        &bytes.leak()[1..]
    }
    let entries = vec![
        ("teacher/vae/config.json", leak("config.json")),
        ("teacher/vae/diffusion_pytorch_model.safetensors", leak("diffusion_pytorch_model.safetensors")),
    ];
    let files = Files::embedded(entries.leak()).folder("teacher");
    assert!(files.exists() && !files.folder("unet").exists());
    let embedded = Component::open(&files.folder("vae")).unwrap();
    let on_disk = Component::open(&Files::open_folder(&fixture("vae_tiny")).unwrap()).unwrap();
    assert_eq!(embedded.digest(), on_disk.digest());
    let name = "decoder.layers.0.weight";
    let read = |component: &Component| {
        let tensor = component.builder(DType::F32, &Device::Cpu, &Cancel::default()).get_unchecked(name).unwrap();
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(read(&embedded), read(&on_disk));
    let message = Component::open(&files.folder("unet")).unwrap_err().to_string();
    assert!(message.starts_with("Pocket/teacher/unet: "), "{message}");
}

#[test]
fn a_folder_in_words() {
    let whole = copy(&[("model", ""), ("vae_tiny", "vae_tiny")]);
    let words = checkpoint::describe(whole.path()).unwrap().lines.join("\n");
    for part in ["CLIPTextModel", "UNet2DConditionModel", "AutoencoderKL", "AutoencoderTiny", "49,408 tokens"] {
        assert!(words.contains(part), "{part}:\n{words}");
    }
    assert!(words.contains("128 × 128, latents 4 × 16 × 16") && words.contains("f16"), "{words}");
    assert!(!words.contains("problem"), "{words}");

    edit_json(&whole.path().join("unet/config.json"), |config| config["layers_per_block"] = 5.into());
    fs::remove_file(whole.path().join("vae/config.json")).unwrap();
    let words = checkpoint::describe(whole.path()).unwrap().lines.join("\n");
    assert_eq!(words.matches("problem").count(), 2, "{words}");
    assert!(words.contains("lacks the tensor") && words.contains("vae/config.json: is missing"), "{words}");

    let pair = copy(&[("model", "teacher"), ("stacked_unet", "student/unet")]);
    let words = checkpoint::describe(pair.path()).unwrap().lines.join("\n");
    assert!(words.contains("StackedUNet2DConditionModel") && !words.contains("problem"), "{words}");

    assert!(checkpoint::describe(&fixture("vae_tiny")).unwrap().lines[0].contains("AutoencoderTiny"));
    fs::write(whole.path().join("vae_tiny/config.json"), "{").unwrap();
    let message = checkpoint::describe(&whole.path().join("vae_tiny")).unwrap_err().to_string();
    assert!(message.contains("not valid JSON"), "{message}");
    assert!(checkpoint::describe(&fixture("")).unwrap_err().to_string().contains("holds neither"));
}
