//! What belongs to the widgets and not to what they show: who has the keyboard, what is unfolded, what is half typed.

use super::{Controls, Focus, Page};

/// The widgets' own state.
pub(crate) struct Widgets {
    /// Whom to give the keyboard in the next frame, once.
    pub focus: Option<Focus>,
    /// What had the keyboard in the last frame.
    focused: Option<egui::Id>,
    /// What had it before a window over the window took it.
    lent: Option<egui::Id>,
    /// Whether the panel at the side was asked for in a window too narrow for it.
    pub side_unfolded: bool,
    pub settings_page: Page,
    /// The file name pattern as it is typed, which need not be one.
    pub pattern_typed: String,
    /// Whether the window is cleared to the colour behind the pictures.
    pub canvas_is_clear: bool,
    /// Whether the theme and the scale are set.
    pub styled: bool,
}

impl Widgets {
    pub fn new(controls: &Controls) -> Self {
        Self {
            focus: Some(Focus::Prompt),
            focused: None,
            lent: None,
            side_unfolded: false,
            settings_page: Page::default(),
            pattern_typed: controls.pattern.clone(),
            canvas_is_clear: false,
            styled: false,
        }
    }

    /// Gives the keyboard back to whoever had it before a window over the window, once egui, too, knows that it is gone.
    pub fn lend_keyboard(&mut self, ctx: &egui::Context, modal: bool) {
        let (focused, over) = ctx.memory(|memory| (memory.focused(), memory.top_modal_layer().is_some()));
        match (modal || over, self.lent.take()) {
            (true, lent) => self.lent = lent.or(self.focused),
            (false, Some(lender)) if self.focus.is_none() => ctx.memory_mut(|memory| memory.request_focus(lender)),
            (false, _) => self.focused = focused,
        }
    }
}
