//! The growth of a task's history.

use steadfast_testkit::{
    bench::history_growth::{HistoryOptions, run},
    stack::Stack,
};

#[tokio::test]
async fn history_grows_by_at_most_one_and_a_half_times_the_new_items() {
    let stack = Stack::start().await.unwrap();
    let options = HistoryOptions {
        model_calls: 30,
        ..HistoryOptions::default()
    };
    let report = run(&stack, options).await.unwrap();
    assert!(report.growth_ratio <= 1.5, "{report:#?}");
    assert!((2.0..3.2).contains(&report.starting_text_zstd_ratio), "{report:#?}");
}
