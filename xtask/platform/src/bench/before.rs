//! The programs of an earlier commit, built once into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use steadfast_testkit::{
    bench::Build,
    cache::Cache,
    release::Profile,
    tools::{
        cargo::Cargo,
        command::{output, run},
        files, progress, workspace,
    },
};

const COMMIT_LENGTH: usize = 12;

/// An earlier commit: its short name, and the directory with its programs.
pub(super) struct Before {
    pub(super) commit: String,
    pub(super) programs: PathBuf,
    checkout: PathBuf,
}

impl Before {
    /// Its programs with its custom resources.
    pub(super) fn build(&self) -> anyhow::Result<Build> {
        Build::of_checkout(&self.programs, &self.checkout)
    }
}

/// Checks the commit out beside the cache of tools, with a target directory of its own, and builds these programs; each is
/// that of the package of its name.
pub(super) fn build(commit: &str, profile: Profile, programs: &[&str]) -> anyhow::Result<Before> {
    let revision = format!("{commit}^{{commit}}");
    let resolved = output(git().args(["rev-parse", "--verify", "--quiet", &revision]))
        .with_context(|| format!("{commit} is no commit of this checkout"))?;
    let commit: String = resolved.trim().chars().take(COMMIT_LENGTH).collect();
    let dir = Cache::open()?.root().join("bench").join(format!("before-{commit}"));
    let checkout = dir.join("checkout");
    if !checkout.join("Cargo.toml").is_file() {
        files::create_dir(&dir)?;
        // A checkout that somebody deleted is still known to git.
        output(git().args(["worktree", "prune"]))?;
        output(git().args(["worktree", "add", "--detach"]).arg(&checkout).arg(&commit))
            .with_context(|| format!("check out {commit}"))?;
    }
    progress::print(&format!(
        "building {} of {commit} (20 minutes the first time)",
        programs.join(" and ")
    ));
    let cargo = Cargo::of_this_machine()?;
    let target = dir.join("target");
    let mut arguments = vec!["build", "--locked", "--bins", "--profile", profile.name()];
    arguments.extend(programs.iter().flat_map(|program| ["--package", *program]));
    run(cargo
        .command(&arguments)
        .current_dir(&checkout)
        .env("CARGO_TARGET_DIR", &target))
    .with_context(|| format!("build the programs of {commit}"))?;
    let directory = target.join(cargo.host()).join(profile.name());
    for program in programs {
        check_age(&directory.join(program), &checkout, &commit)?;
    }
    Ok(Before {
        commit,
        programs: directory,
        checkout,
    })
}

/// A target directory may have been filled with programs of another commit, to save time. What is older than the checkout
/// was not built from it: a gateway that does not fit its worker gives figures that mean nothing.
fn check_age(program: &Path, checkout: &Path, commit: &str) -> anyhow::Result<()> {
    let modified = |path: &Path| {
        let metadata = std::fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
        anyhow::Ok(metadata.modified()?)
    };
    ensure!(
        modified(program)? >= modified(&checkout.join("Cargo.toml"))?,
        "{} is older than the checkout of {commit}, so it is of another commit: delete it",
        program.display()
    );
    Ok(())
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace::root());
    git
}
