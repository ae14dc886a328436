//! The worker program.

// After a burst of tasks it gives memory back, which glibc's allocator keeps (docs/decisions/0034-allocator.md). Its
// settings stand in .cargo/config.toml.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A worker waits for models, tools and Temporal. On a large node more threads cost memory and bring nothing.
const MOST_THREADS: usize = 4;

fn main() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_THREADS))
        .enable_all()
        .build()?
        .block_on(steadfast_worker::Worker::builder().run())
}
