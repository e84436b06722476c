//! What the panels get and what they give back. They read the state through [`View::app`] and never change it: widgets
//! edit the copies of this frame, and everything else that the person did is an [`Action`]. [`App::apply`] takes both over
//! once the whole window is drawn. Add what a new widget asks for to [`Action`].

use std::ops::Range;
use std::path::PathBuf;

use egui::{Rect, Vec2};
use instaflow_engine::protocol::{OpenRequest, Prediction};

use super::{Act, App, Command, Controls, ModelAction, Page, Palette, PanZoom, PaneId, Stop};
use crate::library::Query;

/// One frame, as the panels see it.
pub struct View<'a> {
    /// The state as it was when the frame began.
    pub(crate) app: &'a App,
    /// What the person has set, for widgets to edit.
    pub(crate) controls: Controls,
    /// Zoom and pan of the pictures, for the mouse to move.
    pub(crate) pan_zoom: PanZoom,
    actions: Vec<Action>,
}

/// What the person did in a frame.
pub struct Done {
    pub(super) controls: Controls,
    pub(super) pan_zoom: PanZoom,
    pub(super) actions: Vec<Action>,
}

/// Something that the person did, apart from editing the controls.
#[expect(clippy::large_enum_variant, reason = "a frame has a few at most")]
pub(crate) enum Action {
    /// Asked for a command, by a button, a menu or the palette.
    Do(Command),
    /// Stopped one thing that is under way.
    Stop(Stop),
    /// Chose the pane whose picture 'Save' and 'Copy' mean.
    Choose(PaneId),
    /// Nothing: a pane was drawn here, with a picture of this size, or without one.
    Place(PaneId, Option<(Rect, Vec2)>),
    /// Looked at this estimate of the paths, or at the pictures again.
    Scrub(Option<usize>),
    /// Clicked a variation, which becomes the live picture.
    TakeVariation(usize),
    /// Took the baseline out of the comparison.
    CloseBaseline,
    /// Nothing: the control that was to get the keyboard has it.
    FocusGiven,
    /// Moved the caret in the prompt to this byte, or left the field.
    Caret(Option<usize>),
    /// Nothing: the caret was put where it was to go.
    CaretPlaced,
    /// Nothing: the whole prompt was selected, as was asked for.
    PromptSelected,
    /// Took another prompt.
    TakePrompt(String),
    /// Took a known word in place of the one at these bytes of the prompt.
    ReplaceWord(Range<usize>, String),
    /// Added a phrase to the prompt.
    AddPhrase(String),
    /// Typed into the search field of the words.
    FindWord(String),
    /// Did something with a kept picture.
    Kept(Act, u64),
    /// Selected a kept picture with the keys, which also shows it if another is shown large.
    Browse(u64),
    /// Selected a kept picture with the mouse.
    Select(u64),
    /// Searched the kept pictures.
    Search(Query),
    /// Nothing: the search field has the keyboard, as was asked for.
    SearchFocused,
    /// Nothing: the selected picture was scrolled into sight.
    SelectionShown,
    /// Nothing: these thumbnails are in sight and missing, the most wanted last.
    Wish(Vec<u64>),
    /// Left the kept picture that was shown large.
    LeaveKept,
    /// Tried to open the library again.
    RetryLibrary,
    /// Dismissed an error.
    Dismiss(usize),
    /// Chose whether an error's details are copied with the prompt.
    DetailsWithPrompt(bool),
    /// Something short to say.
    Notify(String),
    /// Closed the window over the window.
    CloseModal,
    /// Typed or moved in the command palette.
    Palette(Palette),
    /// Said what a model's U-Net predicts.
    AnswerRecipe(Prediction),
    /// Agreed to replace the prompt.
    ReplacePrompt,
    /// Did something in the panel of the models.
    Models(ModelAction),
    /// Turned to a page of the settings.
    TurnTo(Page),
    /// Opened what is open again, in another way.
    Reopen(OpenRequest),
    /// Asked for another output folder.
    AskOutput,
    /// Went back to the output folder of the first start.
    ResetOutput,
    /// Typed a file name pattern, which need not be one.
    TypePattern(String),
    /// Took these pages of the settings back to their defaults.
    ResetSettings(Vec<Page>),
    /// Opened a file or folder with the desktop's program for it.
    ShowOutside(PathBuf),
}

impl<'a> View<'a> {
    /// The frame that begins now.
    pub fn new(app: &'a App) -> Self {
        Self { app, controls: app.controls.clone(), pan_zoom: app.pan_zoom, actions: Vec::new() }
    }

    /// Everything that was done in it.
    pub fn done(self) -> Done {
        Done { controls: self.controls, pan_zoom: self.pan_zoom, actions: self.actions }
    }

    /// Notes what the person did.
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Notes a command that the person asked for.
    pub(crate) fn command(&mut self, command: Command) {
        self.act(Action::Do(command));
    }
}

/// Who can be given the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Prompt,
    Picture,
}
