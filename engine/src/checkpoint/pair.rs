//! Students, teachers and baselines: which folder is which.

use std::path::Path;
use std::sync::Arc;

use super::component::read_json;
use super::files::Files;
use super::model_folder::{ModelFolder, read_tokenizer};
use crate::Result;
use crate::protocol::{OpenRequest, Source};
use crate::text::Tokenizer;

/// The models that a request opens: a student, a teacher or both, and perhaps a baseline.
#[derive(Debug)]
pub struct Opened {
    /// The one-step model.
    pub student: Option<ModelFolder>,
    /// The model that it was distilled from.
    pub teacher: Option<ModelFolder>,
    /// A third model to compare both with.
    pub baseline: Option<ModelFolder>,
}

/// Opens the configs and headers that a request names, but no weights.
///
/// A pair is a folder with `student/` and `teacher/`. The student takes the parts that it lacks from the teacher. Nothing
/// in a single folder of a flow says which of the two it is: it is the student, unless `as_teacher` is set and no other
/// teacher is named. A folder of Stable Diffusion is always the teacher, because it needs many steps, unless its recipe
/// says that it was distilled to need few.
pub fn open(request: &OpenRequest) -> Result<Opened> {
    let files = open_source(&request.model, request)?;
    let mut opened = if let Some((student, teacher)) = halves(&files)? {
        let mut teacher = ModelFolder::open(&teacher, None, None)?;
        let mut student = ModelFolder::open(&student, Some(&teacher), request.prediction)?;
        if !student.recipe().can_be_student() {
            let message = "holds Stable Diffusion in student/, but it needs many steps: put a one-step model there";
            return Err(files.fault("", message));
        }
        for model in [&mut teacher, &mut student] {
            model.rename(files.name());
            model.set_vocabulary(&files);
        }
        Opened { student: Some(student), teacher: Some(teacher), baseline: None }
    } else {
        let model = ModelFolder::open(&files, None, request.prediction)?;
        let no_student = request.as_teacher || !model.recipe().can_be_student();
        match (no_student, &request.teacher) {
            (true, None) => Opened { student: None, teacher: Some(model), baseline: None },
            (true, Some(_)) if !model.recipe().can_be_student() => {
                let message = "is Stable Diffusion, which needs many steps and so cannot be a student: \
                               open it as the teacher or as the baseline";
                return Err(files.fault("", message));
            }
            _ => Opened { student: Some(model), teacher: None, baseline: None },
        }
    };
    let many_steps = |source: Option<&Source>| source.map(|source| open_many_steps(source, request)).transpose();
    opened.teacher = many_steps(request.teacher.as_ref())?.or(opened.teacher);
    if let Some(carry) = &request.carry {
        let (finetune, base) = (open_single(&carry.finetune, request)?, open_single(&carry.base, request)?);
        for model in opened.student.iter_mut().chain(&mut opened.teacher) {
            model.carry(&finetune, &base, carry.weight)?;
        }
    }
    opened.baseline = many_steps(request.baseline.as_ref())?;
    // Autoencoders have no averaged weights.
    let autoencoder = |path: &Path| Files::open(&Source::Folder(path.to_owned()), request.config.as_deref(), false);
    if let Some(path) = &request.vae {
        let vae = autoencoder(path)?;
        for model in opened.student.iter_mut().chain(&mut opened.teacher) {
            model.replace_vae(&vae)?;
        }
    }
    if let Some(path) = &request.tiny_decoder {
        let tiny = Arc::new(ModelFolder::open_tiny(&autoencoder(path)?)?);
        for model in opened.student.iter_mut().chain(&mut opened.teacher) {
            model.set_vae_tiny(Arc::clone(&tiny))?;
        }
        if let Some(baseline) = &mut opened.baseline {
            // A baseline with other latents keeps its own decoders.
            let _ = baseline.set_vae_tiny(tiny);
        }
    }
    Ok(opened)
}

fn open_source(source: &Source, request: &OpenRequest) -> Result<Files> {
    Files::open(source, request.config.as_deref(), request.ema)
}

/// A single folder or file, or the teacher of a pair.
fn open_single(source: &Source, request: &OpenRequest) -> Result<Files> {
    let files = open_source(source, request)?;
    Ok(halves(&files)?.map_or(files, |(_, teacher)| teacher))
}

/// Opens a single folder, or the teacher of a pair, under the name of the whole folder.
fn open_many_steps(source: &Source, request: &OpenRequest) -> Result<ModelFolder> {
    let files = open_source(source, request)?;
    let teacher = halves(&files)?.map(|(_, teacher)| teacher);
    let mut model = ModelFolder::open(teacher.as_ref().unwrap_or(&files), None, request.prediction)?;
    model.rename(files.name());
    model.set_vocabulary(&files);
    Ok(model)
}

/// Opens the tokenizer of a model or of a pair's student, without reading any weights.
pub fn open_tokenizer(source: &Source) -> Result<Tokenizer> {
    let files = Files::open(source, None, false)?;
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

/// The student's and the teacher's folder, if this is a pair.
pub(super) fn halves(files: &Files) -> Result<Option<(Files, Files)>> {
    let (student, teacher) = (files.folder("student"), files.folder("teacher"));
    match (student.exists(), teacher.exists()) {
        (true, true) => Ok(Some((student, teacher))),
        (false, false) => Ok(None),
        (true, false) => {
            Err(files.fault("", "holds student/ but no teacher/: open student/ itself, or add the teacher"))
        }
        (false, true) => {
            Err(files.fault("", "holds teacher/ but no student/: open teacher/ itself, or add the student"))
        }
    }
}
