//! Students and teachers: which folder plays which part.

use std::sync::Arc;

use super::component::read_json;
use super::files::Files;
use super::model::{ModelFolder, read_tokenizer};
use crate::Result;
use crate::protocol::{OpenRequest, Source};
use crate::text::Tokenizer;

/// What a request opens; at least one of the two.
#[derive(Debug)]
pub struct Opened {
    /// The one-step model.
    pub student: Option<ModelFolder>,
    /// The model that it was distilled from.
    pub teacher: Option<ModelFolder>,
}

/// Opens what a request names: configs and headers, no weights. A pair is a folder with `student/` and `teacher/`,
/// and what `student/` lacks is the teacher's. A single folder cannot say which it is: it is the student, or the
/// teacher where `as_teacher` says so and no other teacher is named.
pub fn open(request: &OpenRequest) -> Result<Opened> {
    let files = Files::open(&request.model)?;
    let mut opened = if let Some((student, teacher)) = halves(&files)? {
        let mut teacher = ModelFolder::open(&teacher, None)?;
        let mut student = ModelFolder::open(&student, Some(&teacher))?;
        teacher.rename(files.name());
        student.rename(files.name());
        Opened { student: Some(student), teacher: Some(teacher) }
    } else {
        let model = Some(ModelFolder::open(&files, None)?);
        if request.as_teacher && request.teacher.is_none() {
            Opened { student: None, teacher: model }
        } else {
            Opened { student: model, teacher: None }
        }
    };
    if let Some(source) = &request.teacher {
        let files = Files::open(source)?;
        let teacher = halves(&files)?.map(|(_, teacher)| teacher);
        let mut model = ModelFolder::open(teacher.as_ref().unwrap_or(&files), None)?;
        model.rename(files.name());
        opened.teacher = Some(model);
    }
    if let Some(path) = &request.tiny_decoder {
        let tiny = Arc::new(ModelFolder::open_tiny(&Files::open_folder(path)?)?);
        for model in opened.student.iter_mut().chain(&mut opened.teacher) {
            model.set_vae_tiny(Arc::clone(&tiny))?;
        }
    }
    Ok(opened)
}

/// The tokenizer of a model, or of a pair's student, without a look at any weights.
pub fn open_tokenizer(source: &Source) -> Result<Tokenizer> {
    let files = Files::open(source)?;
    let folders = match halves(&files)? {
        Some((student, teacher)) => vec![student, teacher],
        None => vec![files],
    };
    let first = |name: &str| {
        let parts: Vec<Files> = folders.iter().map(|folder| folder.folder(name)).collect();
        parts.iter().find(|part| part.exists()).unwrap_or(&parts[0]).clone()
    };
    let text_config = read_json(&first("text_encoder"), "config.json")?;
    read_tokenizer(&first("tokenizer"), text_config.as_ref())
}

/// The student's and the teacher's folder, where this is a pair.
pub(super) fn halves(files: &Files) -> Result<Option<(Files, Files)>> {
    let (student, teacher) = (files.folder("student"), files.folder("teacher"));
    match (student.exists(), teacher.exists()) {
        (true, true) => Ok(Some((student, teacher))),
        (false, false) => Ok(None),
        (true, false) => Err(files.fault("", "holds student/ but no teacher/: give the model folder inside, or both")),
        (false, true) => Err(files.fault("", "holds teacher/ but no student/: give the model folder inside, or both")),
    }
}
