//! The worker of an agent with one built-in tool, `roll_dice`. It needs no second
//! program, task queue or image.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadfast_worker::{ToolContext, ToolError, Worker};

const MAX_DICE: u32 = 100;

// The model reads these comments as the descriptions of the parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dice {
    /// How many dice to roll, 1 to 100.
    count: u32,
    /// How many sides each die has, at least 2.
    sides: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Roll {
    dice: Vec<u64>,
    sum: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Worker::builder()
        .tool(
            "roll_dice",
            "Rolls dice and returns the value of each and their sum.",
            roll,
        )
        .run()
        .await
}

async fn roll(context: ToolContext, dice: Dice) -> Result<Roll, ToolError> {
    roll_for(&context.idempotency_key, &dice)
}

/// The idempotency key determines the dice, so that an attempt after a crash returns the same result.
fn roll_for(key: &str, dice: &Dice) -> Result<Roll, ToolError> {
    if dice.count == 0 || dice.count > MAX_DICE || dice.sides < 2 {
        // The model receives this text and can correct its call.
        return Err(ToolError::permanent(format!(
            "roll 1 to {MAX_DICE} dice with at least 2 sides"
        )));
    }
    let throw = |number: u32| {
        let mut hasher = DefaultHasher::new();
        (key, number).hash(&mut hasher);
        hasher.finish() % u64::from(dice.sides) + 1
    };
    let dice: Vec<u64> = (0..dice.count).map(throw).collect();
    let sum = dice.iter().sum();
    Ok(Roll { dice, sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_of_a_call_returns_the_same_dice() {
        let dice = Dice { count: 3, sides: 6 };
        let first = roll_for("a call", &dice).unwrap();
        assert_eq!(roll_for("a call", &dice).unwrap(), first);
        assert!(first.dice.iter().all(|shown| (1..=6).contains(shown)));
        assert_eq!((first.dice.len(), first.dice.iter().sum::<u64>()), (3, first.sum));
    }

    #[test]
    fn invalid_dice_are_a_permanent_error() {
        for (count, sides) in [(0, 6), (101, 6), (1, 1)] {
            let refused = roll_for("a call", &Dice { count, sides });
            assert!(matches!(refused, Err(ToolError::Permanent(_))), "{count} of {sides}");
        }
    }
}
