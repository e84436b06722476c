use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use instaflow_test_support::{Tolerance, assert_close_case, assert_error, expected, fixture, tensor_in};
use serde_json::Value;

use super::*;
use crate::protocol::{Blend, OpenRequest, Source, Toward};

type Case = Value;

fn more(name: &str) -> PathBuf {
    fixture("../more").join(name)
}

fn cases(group: &str) -> Vec<Case> {
    let text = std::fs::read(more(group).join("cases.json")).expect("the group's cases");
    serde_json::from_slice(&text).expect("a list of cases")
}

fn text<'a>(case: &'a Case, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{case} has no {key}"))
}

fn open(embeddings: Vec<PathBuf>) -> Models {
    let model = Source::Folder(fixture("model"));
    let request = OpenRequest { model, embeddings, ..OpenRequest::default() };
    Models::open(&request, &mut |_| {}).expect("the fixture's model")
}

fn settings(prompt: &str, syntax: PromptSyntax) -> Settings {
    Settings { prompt_syntax: syntax, ..Settings::student(prompt) }
}

fn encode(models: &Models, settings: &Settings) -> Result<Tensor> {
    let model = models.model(settings.role)?;
    let guided = settings.guidance > 1.0;
    let conditioning = Conditioning::read(model, settings, guided)?;
    let embedding = conditioning.encode(models, &mut Timings::default(), &Cancel::default())?;
    assert_eq!(embedding.dim(1)?, conditioning.keys());
    Ok(embedding)
}

fn reference(group: &str, name: &str) -> Tensor {
    let (shape, values) = tensor_in(&more(group).join("expected.safetensors"), name);
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

/// Restoring the mean moves some of these by no more than 4e-5 of the largest value.
const TOLERANCE: Tolerance = Tolerance::of_largest(2e-5);

fn syntax(name: &str) -> PromptSyntax {
    if name.starts_with("comfy") { PromptSyntax::ComfyUi } else { PromptSyntax::A1111 }
}

#[test]
fn prompts_become_the_published_programs_chunks() {
    let models = open(Vec::new());
    let model = models.student.as_ref().expect("a student");
    let mut checked = 0;
    for case in cases("prompts").iter().filter(|case| case["chunk_ids"].is_array()) {
        let name = text(case, "name");
        let read = model.read_prompt(text(case, "prompt"), syntax(name));
        let ids: Vec<Vec<u32>> = serde_json::from_value(case["chunk_ids"].clone()).expect("ids");
        let weights: Vec<Vec<f32>> = serde_json::from_value(case["chunk_weights"].clone()).expect("weights");
        assert_eq!(read.chunks.iter().map(|chunk| chunk.ids.clone()).collect::<Vec<_>>(), ids, "{name}");
        for (chunk, weights) in read.chunks.iter().zip(weights) {
            assert_close_case(name, &chunk.weights[..], &weights[..], Tolerance::absolute(1e-6));
        }
        if let Some(count) = case["token_count"].as_u64() {
            assert_eq!(read.count.used as u64, count, "{name}");
        }
        assert_eq!((read.count.limit, read.count.cut_at), (75 * ids.len(), text(case, "prompt").len()), "{name}");
        if let Some(parsed) = case["parsed"].as_array() {
            let pieces = crate::text::parse_prompt(text(case, "prompt"), PromptSyntax::A1111).pieces;
            assert_eq!(pieces.len(), parsed.len(), "{name}");
            for (piece, expected) in pieces.iter().zip(parsed) {
                assert_eq!(piece.text(), text_at(expected), "{name}");
                let weight = expected[1].as_f64().expect("a weight") as f32;
                assert_close_case(name, piece.weight, weight, Tolerance::absolute(1e-6));
            }
        }
        checked += 1;
    }
    assert_eq!(checked, 20);
}

fn text_at(pair: &Value) -> &str {
    pair[0].as_str().expect("a text")
}

#[test]
fn prompts_become_the_published_programs_embeddings() -> Result<()> {
    let models = open(Vec::new());
    let mut checked = 0;
    for case in &cases("prompts") {
        let name = text(case, "name");
        let plain = Settings { clip_skip: 1, ..settings(text(case, "prompt"), syntax(name)) };
        let embedding = match name {
            "a1111.short_as_negative_of_long" => {
                let guided = Settings {
                    negative_prompt: plain.prompt.clone(),
                    guidance: 2.0,
                    ..settings(text(case, "beside"), PromptSyntax::A1111)
                };
                encode(&models, &guided)?.narrow(0, 0, 1)?
            }
            _ if name.starts_with("clip_skip_2") => encode(&models, &Settings { clip_skip: 2, ..plain })?,
            // What is multiplied before the mean is restored.
            _ if name.starts_with("a1111_nonorm") => no_norm(&models, &plain)?,
            _ => encode(&models, &plain)?,
        };
        let distance = assert_close_case(name, &embedding, reference("prompts", name), TOLERANCE);
        println!("{name}: {:.1e} of the largest value", distance.of_largest());
        checked += 1;
    }
    assert_eq!(checked, 26);
    Ok(())
}

fn no_norm(models: &Models, settings: &Settings) -> Result<Tensor> {
    let model = models.model(settings.role)?;
    let read = model.read_prompt(&settings.prompt, settings.prompt_syntax);
    let plain = model.text.network.forward_chunk(&read.chunks[0].ids, None, 1)?;
    let mut values = plain.flatten_all()?.to_vec1()?;
    crate::text::emphasis::multiply(&mut values, &read.chunks[0].weights);
    Ok(Tensor::from_vec(values, plain.shape(), &Device::Cpu)?)
}

#[test]
fn the_network_takes_long_prompts() -> Result<()> {
    let models = open(Vec::new());
    let cases = cases("prompts");
    let long = cases.iter().find(|case| case["name"] == "a1111.long").expect("the long prompt");
    let context = encode(&models, &settings(text(long, "prompt"), PromptSyntax::A1111))?;
    assert_eq!(context.dims(), [1, 154, 16]);
    let noise = reference("prompts", "noise").narrow(0, 0, 1)?;
    let unet = &models.model(crate::protocol::Role::Student)?.unet.network;
    let got = unet.forward(&noise, &Tensor::new(&[1000f32], &Device::Cpu)?, &context, &Cancel::default())?;
    assert_close_case("a1111.long.unet_t1000", &got, reference("prompts", "a1111.long.unet_t1000"), TOLERANCE);
    Ok(())
}

#[test]
fn without_marks_the_syntax_makes_no_difference() -> Result<()> {
    let models = open(Vec::new());
    let (_, values) = expected("prompt_embeds");
    for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi, PromptSyntax::Off] {
        let model = models.model(crate::protocol::Role::Student)?;
        let ids = model.tokenizer.encode(instaflow_test_support::PROMPT);
        let whole = model.text.network.forward(&Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?)?;
        let bits = |tensor: &Tensor| -> Result<Vec<u32>> {
            Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
        };
        let embedding = encode(&models, &settings(instaflow_test_support::PROMPT, syntax))?;
        assert_eq!(bits(&embedding)?, bits(&whole)?, "{syntax:?}");
        let got: Vec<f32> = embedding.flatten_all()?.to_vec1()?;
        assert_close_case(format!("{syntax:?}"), &got[..], &values[..got.len()], Tolerance::of_largest(1e-4));
    }
    Ok(())
}

#[test]
fn prompts_of_different_length_meet() -> Result<()> {
    let models = open(Vec::new());
    let words = |count: usize| vec!["cat"; count].join(" ");
    let chunks = |syntax, text: usize, negative: usize, toward: usize| {
        let prompt = Some(Toward { to: words(toward), by: 0.5 }).filter(|_| toward > 0);
        let settings = Settings {
            negative_prompt: words(negative),
            guidance: 2.0,
            blend: Blend { prompt, ..Blend::default() },
            ..settings(&words(text), syntax)
        };
        encode(&models, &settings).map(|embedding| embedding.dims().to_vec())
    };
    for (syntax, text, negative, toward, length) in [
        (PromptSyntax::A1111, 80, 1, 0, 2),
        (PromptSyntax::A1111, 1, 160, 80, 3),
        (PromptSyntax::ComfyUi, 80, 160, 0, 6),
        (PromptSyntax::ComfyUi, 80, 1, 160, 3),
        (PromptSyntax::Off, 80, 160, 1, 1),
    ] {
        assert_eq!(chunks(syntax, text, negative, toward)?, [2, 77 * length, 16], "{syntax:?} {text} {negative}");
    }
    Ok(())
}

#[test]
fn clip_skip_is_held_against_the_text_encoder() {
    let models = open(Vec::new());
    for clip_skip in [0, 99] {
        let settings = Settings { clip_skip, ..Settings::student("a lake") };
        assert_error(encode(&models, &settings), "choose 1 to 2");
    }
}

#[test]
fn huge_weights_and_endless_prompts_give_numbers() -> Result<()> {
    let models = open(Vec::new());
    let deep = format!("{}lake{}", "(".repeat(500), ")".repeat(500));
    for prompt in ["(a lake:99999999999999999999999999999999999999999)", "(a:-1e3) (b:-1000)", "(a lake:0)", &deep] {
        for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi] {
            encode(&models, &settings(prompt, syntax))?;
        }
    }
    let model = models.model(crate::protocol::Role::Student)?;
    let book = "cat ".repeat(20_000);
    let read = model.read_prompt(&book, PromptSyntax::A1111);
    assert_eq!((read.chunks.len(), read.count.limit, read.count.used), (100, 7500, 20_000));
    assert_eq!(read.count.cut_at, 4 * 7500);
    assert_eq!(read.count.remarks, ["Only the first 7500 tokens are read."]);
    Ok(())
}

fn inversions() -> Vec<PathBuf> {
    ["moody-one", "trio", "learned_embeds"]
        .map(|name| more("textual_inversion").join(name).with_extension("safetensors"))
        .into()
}

#[test]
fn textual_inversions_as_diffusers_has_them() -> Result<()> {
    let models = open(inversions());
    let model = models.model(crate::protocol::Role::Student)?;
    let rows = reference("textual_inversion", "prompt_embeds");
    let mut checked = 0;
    for case in cases("textual_inversion").iter().filter(|case| case["ids"].is_array()) {
        for syntax in [PromptSyntax::A1111, PromptSyntax::Off] {
            let read = model.read_prompt(text(case, "prompt"), syntax);
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
            assert_eq!(read.chunks[0].ids, ids, "{case}");
            let embedding = encode(&models, &settings(text(case, "prompt"), syntax))?;
            let row = rows.narrow(0, case["embeds_row"].as_u64().expect("a row") as usize, 1)?;
            assert_close_case(text(case, "name"), &embedding, &row, Tolerance::of_largest(1e-4));
        }
        checked += 1;
    }
    assert_eq!(checked, 5);
    // As ComfyUI writes it, and with a weight.
    let comfy = model.read_prompt("a (embedding:trio:1.2), embedding:gone b", PromptSyntax::ComfyUi);
    assert_eq!(comfy.chunks[0].ids[1..7], [320, 49409, 49410, 49411, 267, 321]);
    assert_close_case("weights", &comfy.chunks[0].weights[1..6], [1.0, 1.2, 1.2, 1.2, 1.0], Tolerance::absolute(1e-6));
    assert_eq!(comfy.count.remarks, ["embedding:gone is left out: no embedding of this name is open."]);
    assert_eq!(comfy.count.used, 6);
    Ok(())
}

/// Writes an embedding of two vectors.
fn write(folder: &Path, width: usize) -> PathBuf {
    let path = folder.join("wide.safetensors");
    let vectors = Tensor::zeros((2, width), DType::F32, &Device::Cpu).expect("a tensor");
    let tensors = std::collections::HashMap::from([("emb_params".to_owned(), vectors)]);
    candle_core::safetensors::save(&tensors, &path).expect("a file");
    path
}

#[test]
fn a_folder_gives_what_fits_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 768);
    std::fs::write(folder.path().join("broken.safetensors"), b"<html>").expect("a file");
    std::fs::write(folder.path().join("notes.txt"), b"no embedding").expect("a file");
    std::fs::copy(&inversions()[1], folder.path().join("trio.safetensors")).expect("a file");
    let models = open(vec![folder.path().to_owned()]);
    let used = |prompt: &str| models.count_tokens(&Settings::student(prompt)).used;
    assert_eq!((used("wide"), used("trio")), (1, 3));
    let [remark] = &models.summary().remarks[..] else { panic!("{:?}", models.summary().remarks) };
    assert!(remark.message.contains("broken.safetensors"), "{remark:?}");
}

#[test]
fn an_embedding_of_another_width_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let request = OpenRequest {
        model: Source::Folder(fixture("model")),
        embeddings: vec![write(folder.path(), 768)],
        ..OpenRequest::default()
    };
    let error = Models::open(&request, &mut |_| {}).map(|_| ());
    assert_error(error, "holds vectors of 768 numbers, but the text encoder of model takes 16");
}

#[test]
fn what_has_no_effect_is_said() {
    let models = open(Vec::new());
    let settings = Settings { negative_prompt: "fog".to_owned(), ..Settings::student("[a|b] lake") };
    let remarks = models.count_tokens(&settings).remarks;
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(remarks[0].contains("alternate") && remarks[1].contains("negative prompt"), "{remarks:?}");
    let settings = Settings { guidance: 2.0, prompt: "a lake".to_owned(), ..settings };
    assert!(models.count_tokens(&settings).remarks.is_empty());
}
