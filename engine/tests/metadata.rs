//! What pictures of other programs say, held to `fixtures/cases/pictures.json`: invented pictures in the layouts of many
//! programs, broken and hostile ones among them, with what must be read from each. Rules of the expected values: texts count
//! without blanks at line ends and empty lines around them; absent keys are not checked; of `says`, each list needs one of
//! its words.

use std::path::{Path, PathBuf};

use instaflow_engine::metadata::{Found, a1111_block, read, restore};
use instaflow_test_support::fixture;
use serde_json::Value;

fn cases(folder: &str) -> PathBuf {
    fixture("../cases").join(folder)
}

fn all() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(cases("pictures.json")).unwrap()).unwrap()
}

fn tidy(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64() == b.as_f64() && a.as_u64() == b.as_u64() || a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64()
        }
        (Value::String(a), Value::String(b)) => tidy(a) == tidy(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        // What is expected must be there; more may be.
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(key, value)| b.get(key).is_some_and(|b| same(value, b))),
        (a, b) => a == b,
    }
}

/// What differs from what is expected.
fn faults(expect: &Value, found: &Found) -> Vec<String> {
    let found = serde_json::to_value(found).unwrap();
    let mut faults = Vec::new();
    for (key, expected) in expect.as_object().unwrap() {
        let key = if key == "negative" { "negative_prompt" } else { key.as_str() };
        let value = match key {
            "prompt_length" => Value::from(found["prompt"].as_str().unwrap_or_default().chars().count()),
            _ => found[key].clone(),
        };
        if !same(expected, &value) {
            faults.push(format!("{key} is {value}, not {expected}"));
        }
    }
    // What the file does not say is absent.
    let complete = expect.get("prompt").is_some();
    for key in ["seed", "steps", "guidance", "size"] {
        if complete && expect.get(key).is_none() && !found[key].is_null() {
            faults.push(format!("{key} is {}, but the file does not say it", found[key]));
        }
    }
    faults
}

/// Writes the PNG that a case describes by its chunks.
fn make(case: &Value, path: &Path) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 1, 1);
    for chunk in case["chunks"].as_array().unwrap() {
        let part = |key: &str| chunk[key].as_str().unwrap_or_default();
        let times = chunk["times"].as_u64().unwrap_or(0) as usize;
        let text = format!("{}{}{}{}", part("text"), part("before"), part("repeat").repeat(times), part("after"));
        encoder.add_text_chunk(part("keyword").to_owned(), text).unwrap();
    }
    encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
}

#[test]
fn every_programs_pictures_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in all() {
        let name = case["name"].as_str().unwrap();
        let path = match case["kind"].as_str().unwrap() {
            "picture" | "refusal" => cases(case["file"].as_str().unwrap()),
            "make" => {
                let path = folder.path().join(format!("{name}.png"));
                make(&case, &path);
                path
            }
            _ => continue,
        };
        count += 1;
        let expect = &case["expect"];
        match read(&path) {
            Ok(_) if case["kind"] == "refusal" => wrong.push(format!("{name}: accepted")),
            Ok(found) => {
                wrong.extend(faults(expect, &found).into_iter().map(|fault| format!("{name}: {fault}")));
                let restored = restore(found.clone());
                assert!((1..=50).contains(&restored.settings.steps), "{name}");
                if found.steps.is_some_and(|steps| steps > 50) {
                    assert!(
                        restored.remarks.iter().any(|remark| remark.contains("steps")),
                        "{name}: {:?}",
                        restored.remarks
                    );
                }
            }
            Err(error) if case["kind"] == "refusal" => {
                let said = format!("{error} {}", error.causes().join(" "));
                let words = |list: &Value| -> Vec<String> {
                    list.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
                };
                for list in expect["says"].as_array().into_iter().flatten() {
                    if !words(list).iter().any(|word| said.contains(word.as_str())) {
                        wrong.push(format!("{name}: says «{said}», none of {list}"));
                    }
                }
                for word in words(&expect["says_not"]).iter().filter(|word| said.contains(word.as_str())) {
                    wrong.push(format!("{name}: says «{word}»: {said}"));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error} {}", error.causes().join(" "))),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(count, 114, "no case is skipped");
}

#[test]
fn a_block_in_a_text_is_known_by_its_line_of_settings() {
    let block =
        "a lake, (fog:1.2)\nNegative prompt: boats\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768";
    let found = a1111_block(block).expect("a block");
    assert_eq!(
        (found.prompt.as_deref(), found.seed, found.size),
        (Some("a lake, (fog:1.2)"), Some(5), Some((512, 768)))
    );
    for text in ["a lake", "Steps: down to the river", "a lake\nNegative prompt: boats", "Size: large, Seed: old"] {
        assert_eq!(a1111_block(text), None, "{text}");
    }
}
