//! Colours, spacing and type, read from `assets/theme.json` and given to egui for both themes.

use std::sync::LazyLock;

use egui::{Color32, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Theme, Vec2};
use serde::{Deserialize, Deserializer};

/// All design tokens.
#[derive(Deserialize)]
pub struct Tokens {
    /// Font sizes in points.
    #[serde(rename = "type")]
    pub text: Type,
    /// Distances in points.
    pub spacing: Spacing,
    /// Corner radii in points.
    pub radius: Radius,
    /// Colours from no difference to the largest: matplotlib's "inferno" (CC0) in eighths, which grows lighter all the
    /// way and so can be read without seeing colours.
    #[serde(deserialize_with = "hexes")]
    heat: Vec<Color32>,
    dark: Palette,
    light: Palette,
}

/// Font sizes in points.
#[derive(Deserialize)]
pub struct Type {
    small: f32,
    body: f32,
    button: f32,
    monospace: f32,
    heading: f32,
    /// The prompt field.
    pub prompt: f32,
}

/// Distances in points.
#[derive(Deserialize)]
pub struct Spacing {
    item: f32,
    line: f32,
    padding: f32,
    control: f32,
    menu: f32,
    /// Width of the settings at the side.
    pub side: f32,
    /// Around and between pictures.
    pub gap: f32,
    /// A window less wide than this folds the panel at the side.
    pub narrow: f32,
    /// Height of the pictures in a strip.
    pub strip: f32,
}

/// Corner radii in points.
#[derive(Deserialize)]
pub struct Radius {
    control: u8,
    chip: u8,
    window: u8,
    /// The pictures' own corners.
    pub picture: u8,
}

/// The colours of one theme.
#[derive(Deserialize)]
pub struct Palette {
    /// Behind the pictures.
    #[serde(deserialize_with = "hex")]
    pub canvas: Color32,
    /// Behind the controls.
    #[serde(deserialize_with = "hex")]
    pub panel: Color32,
    #[serde(deserialize_with = "hex")]
    field: Color32,
    #[serde(deserialize_with = "hex")]
    control: Color32,
    #[serde(deserialize_with = "hex")]
    control_hover: Color32,
    #[serde(deserialize_with = "hex")]
    control_active: Color32,
    /// Hairlines between areas.
    #[serde(deserialize_with = "hex")]
    pub border: Color32,
    /// What must be seen without words: the edge of what the pointer is on, of a box to tick.
    #[serde(deserialize_with = "hex")]
    pub outline: Color32,
    #[serde(deserialize_with = "hex")]
    text: Color32,
    /// Secondary text.
    #[serde(deserialize_with = "hex")]
    pub muted: Color32,
    /// Text that has no effect: what falls off the end of the prompt.
    #[serde(deserialize_with = "hex")]
    pub faint: Color32,
    /// Focus, selection, progress.
    #[serde(deserialize_with = "hex")]
    pub accent: Color32,
    #[serde(deserialize_with = "hex")]
    accent_fill: Color32,
    #[serde(deserialize_with = "hex")]
    on_accent: Color32,
    /// Text of an error.
    #[serde(deserialize_with = "hex")]
    pub error: Color32,
    /// Behind an error.
    #[serde(deserialize_with = "hex")]
    pub error_fill: Color32,
    /// Text of a warning.
    #[serde(deserialize_with = "hex")]
    pub note: Color32,
    /// Behind words on a picture.
    #[serde(deserialize_with = "hex")]
    pub label: Color32,
    /// Words on a picture, and the line that parts two.
    #[serde(deserialize_with = "hex")]
    pub on_label: Color32,
    /// The second line of a plot.
    #[serde(deserialize_with = "hex")]
    pub second: Color32,
}

impl Tokens {
    /// The colours of one theme.
    pub fn palette(&self, dark: bool) -> &Palette {
        if dark { &self.dark } else { &self.light }
    }
}

impl Palette {
    /// Primary text.
    pub fn text(&self) -> Color32 {
        self.text
    }
}

impl Radius {
    /// Of words to take, which are round at their ends.
    pub fn chip(&self) -> CornerRadius {
        CornerRadius::same(self.chip)
    }

    /// Of buttons and whatever is as small.
    pub fn control(&self) -> CornerRadius {
        CornerRadius::same(self.control)
    }
}

/// The tokens the program was built with.
pub fn tokens() -> &'static Tokens {
    static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../assets/theme.json")).expect("assets/theme.json is checked by a test")
    });
    &TOKENS
}

/// The colours in use right now.
pub fn palette(ui: &egui::Ui) -> &'static Palette {
    tokens().palette(ui.visuals().dark_mode)
}

/// The colour of a part of the largest difference, 0 … 1; what lies beyond is the last.
pub fn heat(part: f32) -> Color32 {
    let stops = &tokens().heat;
    let at = part.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let below = (at as usize).min(stops.len() - 2);
    stops[below].lerp_to_gamma(stops[below + 1], at - below as f32)
}

/// Gives both themes to egui; it follows the system until told otherwise.
pub fn install(ctx: &egui::Context) {
    for (theme, palette) in [(Theme::Dark, &tokens().dark), (Theme::Light, &tokens().light)] {
        ctx.style_mut_of(theme, |style| apply(style, palette, tokens()));
    }
}

fn apply(style: &mut egui::Style, palette: &Palette, tokens: &Tokens) {
    let sizes = &tokens.text;
    style.text_styles = [
        (TextStyle::Small, sizes.small, FontFamily::Proportional),
        (TextStyle::Body, sizes.body, FontFamily::Proportional),
        (TextStyle::Button, sizes.button, FontFamily::Proportional),
        (TextStyle::Heading, sizes.heading, FontFamily::Proportional),
        (TextStyle::Monospace, sizes.monospace, FontFamily::Monospace),
    ]
    .into_iter()
    .map(|(name, size, family)| (name, FontId::new(size, family)))
    .collect();

    let distances = &tokens.spacing;
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(distances.item, distances.line);
    spacing.button_padding = Vec2::new(distances.padding, distances.menu);
    spacing.interact_size.y = distances.control;
    spacing.menu_margin = Margin::same(distances.line as i8);
    spacing.window_margin = Margin::same((2.0 * distances.padding) as i8);
    // What a label before it and its value after it leave of the side.
    spacing.slider_width = distances.side - 132.0;
    spacing.slider_rail_height = 4.0;
    spacing.tooltip_width = 360.0;
    // Labels are read, not copied; selecting them would also put them into the Tab order.
    style.interaction.selectable_labels = false;

    let visuals = &mut style.visuals;
    visuals.panel_fill = palette.panel;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = Stroke::new(1.0, palette.border);
    visuals.window_corner_radius = CornerRadius::same(tokens.radius.window);
    visuals.menu_corner_radius = CornerRadius::same(tokens.radius.window);
    visuals.extreme_bg_color = palette.field;
    visuals.text_edit_bg_color = Some(palette.field);
    visuals.faint_bg_color = palette.canvas;
    visuals.code_bg_color = palette.control;
    visuals.weak_text_color = Some(palette.muted);
    visuals.hyperlink_color = palette.accent;
    visuals.error_fg_color = palette.error;
    visuals.warn_fg_color = palette.note;
    visuals.selection.bg_fill = palette.accent_fill;
    visuals.selection.stroke = Stroke::new(1.0, palette.on_accent);
    visuals.text_cursor.stroke = Stroke::new(2.0, palette.accent);
    visuals.slider_trailing_fill = true;
    visuals.popup_shadow = Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(60) };
    visuals.window_shadow = visuals.popup_shadow;

    let widgets = &mut visuals.widgets;
    for (state, fill, edge, ink) in [
        (&mut widgets.noninteractive, palette.panel, palette.border, palette.text),
        (&mut widgets.inactive, palette.control, palette.border, palette.text),
        (&mut widgets.hovered, palette.control_hover, palette.outline, palette.text),
        (&mut widgets.active, palette.control_active, palette.accent, palette.text),
        (&mut widgets.open, palette.control_hover, palette.border, palette.text),
    ] {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, edge);
        state.fg_stroke = Stroke::new(1.0, ink);
        state.corner_radius = CornerRadius::same(tokens.radius.control);
        state.expansion = 0.0;
    }
}

fn hexes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Color32>, D::Error> {
    #[derive(Deserialize)]
    struct Hex(#[serde(deserialize_with = "hex")] Color32);
    Ok(Vec::<Hex>::deserialize(deserializer)?.into_iter().map(|Hex(colour)| colour).collect())
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Color32, D::Error> {
    let text = String::deserialize(deserializer)?;
    Color32::from_hex(&text)
        .map_err(|error| serde::de::Error::custom(format!("{text} is no #rrggbb colour: {error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, relative luminance.
    fn luminance(colour: Color32) -> f32 {
        let linear = |byte: u8| {
            let value = f32::from(byte) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    }

    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn heat_grows_lighter_from_end_to_end() {
        let stops: Vec<_> = (0..=32).map(|part| luminance(heat(part as f32 / 32.0))).collect();
        assert!(stops.windows(2).all(|pair| pair[0] < pair[1]), "{stops:?}");
        assert_eq!(heat(9.0), heat(1.0));
    }

    #[test]
    fn text_meets_wcag_aa_in_both_themes() {
        for (theme, p) in [("dark", &tokens().dark), ("light", &tokens().light)] {
            for (what, ink, ground, least) in [
                ("text on panel", p.text, p.panel, 4.5),
                ("text on canvas", p.text, p.canvas, 4.5),
                ("text on field", p.text, p.field, 4.5),
                ("text on control", p.text, p.control, 4.5),
                ("text on pressed control", p.text, p.control_active, 4.5),
                ("muted on panel", p.muted, p.panel, 4.5),
                ("muted on canvas", p.muted, p.canvas, 4.5),
                ("faint on field", p.faint, p.field, 4.5),
                ("selected text", p.on_accent, p.accent_fill, 4.5),
                ("error", p.error, p.error_fill, 4.5),
                ("note", p.note, p.panel, 4.5),
                ("underline of an unknown word", p.note, p.field, 4.5),
                ("link", p.accent, p.panel, 4.5),
                ("words on a picture", p.on_label, p.label, 4.5),
                ("second line", p.second, p.panel, 3.0),
                ("second line of a plot", p.second, p.canvas, 3.0),
                // WCAG 1.4.11: what marks focus needs 3 : 1.
                ("accent on panel", p.accent, p.panel, 3.0),
                ("accent on canvas", p.accent, p.canvas, 3.0),
                ("outline on panel", p.outline, p.panel, 3.0),
                ("outline on canvas", p.outline, p.canvas, 3.0),
                ("outline on an error", p.outline, p.error_fill, 3.0),
                ("muted on field", p.muted, p.field, 4.5),
                ("muted on control", p.muted, p.control, 4.5),
                ("muted on hovered control", p.muted, p.control_hover, 4.5),
                ("text on hovered control", p.text, p.control_hover, 4.5),
                ("text on an error", p.text, p.error_fill, 4.5),
                ("link on canvas", p.accent, p.canvas, 4.5),
                ("note on canvas", p.note, p.canvas, 4.5),
                ("text in a selection", p.text, p.accent_fill, 4.5),
            ] {
                let ratio = contrast(ink, ground);
                assert!(ratio >= least, "{theme}: {what} has {ratio:.2} : 1, needs {least} : 1");
            }
        }
    }
}
