//! Programs built from pinned Go modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::lock::FileLock;
use crate::{Stage, pins};

/// Every Go program the platform or its users run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoProgram {
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubelet,
    KubeProxy,
    Kubectl,
    Helm,
    Coredns,
}

/// A directory below `tests/tools` with a `go.mod` of its own, so that the
/// dependencies of one do not pull up those of the other.
#[derive(Clone, Copy)]
enum Module {
    Kubernetes,
    Platform,
}

impl GoProgram {
    pub const ALL: [Self; 8] = [
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Helm,
        Self::Coredns,
    ];

    fn package(self) -> &'static str {
        match self {
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Helm => "helm.sh/helm/v3/cmd/helm",
            Self::Coredns => "github.com/coredns/coredns",
        }
    }

    /// The file name of the program.
    pub fn name(self) -> &'static str {
        self.package().rsplit('/').next().unwrap_or_default()
    }

    fn module(self) -> Module {
        match self {
            Self::Helm | Self::Coredns => Module::Platform,
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy
            | Self::Kubectl => Module::Kubernetes,
        }
    }
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Platform => "platform",
        }
    }

    fn linker_flags(self) -> anyhow::Result<String> {
        match self {
            Self::Platform => Ok("-s -w".to_owned()),
            Self::Kubernetes => kubernetes_linker_flags(&pins::dir(self.name())),
        }
    }
}

/// The path of a program that has been built.
pub fn go_program(program: GoProgram) -> anyhow::Result<PathBuf> {
    let path = path(&Cache::open()?, program)?;
    if !path.is_file() {
        bail!("{} is not built yet: run `cargo xtask tools`", program.name());
    }
    Ok(path)
}

pub(crate) fn install(cache: &Cache, program: GoProgram) -> anyhow::Result<Stage> {
    let path = path(cache, program)?;
    if path.is_file() {
        return Ok(Stage::already_installed(program.name()));
    }
    Stage::install(program.name(), || build(program, &path))
}

fn path(cache: &Cache, program: GoProgram) -> anyhow::Result<PathBuf> {
    let directory = pins::cache_dir(cache, program.module().name(), &["go.mod", "go.sum"])?;
    Ok(directory.join(program.name()))
}

fn build(program: GoProgram, path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().context("a program inside a directory")?;
    files::create_dir(directory)?;
    // Under another name until it is whole.
    let unfinished = path.with_extension("unfinished");
    let mut command = Command::new("go");
    command
        .current_dir(pins::dir(program.module().name()))
        .args(["build", "-trimpath", "-ldflags"])
        .arg(program.module().linker_flags()?)
        .arg("-o")
        .arg(&unfinished)
        .arg(program.package());
    output(&mut command).with_context(|| format!("build {} with Go (https://go.dev/doc/install)", program.name()))?;
    std::fs::rename(&unfinished, path).with_context(|| format!("name {}", path.display()))
}

/// A Go program of this repository, in `tests/tools/<name>`. It is built when its sources or its pins have changed.
pub fn own_go_program(name: &str) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let directory = pins::cache_dir(&cache, name, &["go.mod", "go.sum", "main.go"])?;
    let path = directory.join(name);
    let _lock = FileLock::acquire(&cache.tools().join(format!(".{name}.lock")))?;
    if path.is_file() {
        return Ok(path);
    }
    files::create_dir(&directory)?;
    let unfinished = path.with_extension("unfinished");
    let mut command = Command::new("go");
    command
        .current_dir(pins::dir(name))
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&unfinished)
        .arg(".");
    output(&mut command).with_context(|| format!("build {name} with Go (https://go.dev/doc/install)"))?;
    std::fs::rename(&unfinished, &path).with_context(|| format!("name {}", path.display()))?;
    Ok(path)
}

/// Kubernetes programs learn their version from the linker; without it they
/// claim to be v0.0.0 and clients refuse them.
fn kubernetes_linker_flags(directory: &Path) -> anyhow::Result<String> {
    let manifest = directory.join("go.mod");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
    let version = required_version(&text, "k8s.io/kubernetes")
        .with_context(|| format!("{} does not require k8s.io/kubernetes", manifest.display()))?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    Ok(format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    ))
}

fn required_version<'text>(manifest: &'text str, module: &str) -> Option<&'text str> {
    manifest.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        let mut words = line.split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_programs_are_told_the_version_of_the_pin() {
        let flags = Module::Kubernetes.linker_flags().unwrap();
        let version = "k8s.io/component-base/version";
        assert_eq!(
            flags,
            format!("-s -w -X {version}.gitVersion=v1.34.4 -X {version}.gitMajor=1 -X {version}.gitMinor=34")
        );
    }

    #[test]
    fn a_program_is_named_after_the_end_of_its_package() {
        let names = GoProgram::ALL.map(GoProgram::name);
        assert_eq!(
            names,
            [
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
                "helm",
                "coredns"
            ]
        );
    }
}
