//! Whether text has colours.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ColorArguments {
    /// Print without colours.
    #[arg(long)]
    no_color: bool,
    /// Any value but the empty one counts: <https://no-color.org>.
    #[arg(long = "no-color-variable", env = "NO_COLOR", hide = true)]
    variable: Option<String>,
}

impl ColorArguments {
    pub(crate) fn is_off(&self) -> bool {
        self.no_color || self.variable.as_ref().is_some_and(|value| !value.is_empty())
    }
}
