//! Programs built from pinned Go modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::args::Environment;
use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::lock::FileLock;
use crate::versions::Versions;
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
    HelmUnittest,
    Kubeconform,
    Coredns,
}

/// A directory below `tests/tools` with a `go.mod` of its own, so that the
/// dependencies of one do not pull up those of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    Kubernetes,
    /// Helm, CoreDNS, and what tests charts and manifests: they share most of their dependencies.
    Platform,
    /// The oldest Kubernetes that is supported.
    KubernetesOldest,
    /// The oldest Helm that is supported.
    HelmOldest,
}

impl GoProgram {
    pub const ALL: [Self; 10] = [
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Helm,
        Self::HelmUnittest,
        Self::Kubeconform,
        Self::Coredns,
    ];

    /// The file name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::HelmUnittest => "helm-unittest",
            Self::Kubeconform => "kubeconform",
            Self::Coredns => "coredns",
        }
    }

    fn module(self, versions: Versions) -> Module {
        match (self, versions) {
            (Self::Coredns | Self::HelmUnittest | Self::Kubeconform, _) | (Self::Helm, Versions::Current) => {
                Module::Platform
            }
            (Self::Helm, Versions::Oldest) => Module::HelmOldest,
            (_, Versions::Current) => Module::Kubernetes,
            (_, Versions::Oldest) => Module::KubernetesOldest,
        }
    }
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Platform => "platform",
            Self::KubernetesOldest => "kubernetes-oldest",
            Self::HelmOldest => "helm-oldest",
        }
    }

    /// The files that decide what is built.
    fn pins(self) -> &'static [&'static str] {
        match self {
            Self::Platform => &["go.mod", "go.sum", "coredns/main.go"],
            Self::Kubernetes | Self::KubernetesOldest | Self::HelmOldest => &["go.mod", "go.sum"],
        }
    }

    /// Its packages, each a program named by the end of its path.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Kubernetes | Self::KubernetesOldest => &[
                "k8s.io/kubernetes/cmd/kube-apiserver",
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-scheduler",
                "k8s.io/kubernetes/cmd/kubelet",
                "k8s.io/kubernetes/cmd/kube-proxy",
                "k8s.io/kubernetes/cmd/kubectl",
            ],
            Self::Platform => &[
                "helm.sh/helm/v4/cmd/helm",
                "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
                "github.com/yannh/kubeconform/cmd/kubeconform",
                "./coredns",
            ],
            Self::HelmOldest => &["helm.sh/helm/v3/cmd/helm"],
        }
    }

    /// The modules whose versions say what is built.
    fn requirements(self) -> &'static [&'static str] {
        match self {
            Self::Kubernetes | Self::KubernetesOldest => &["k8s.io/kubernetes"],
            Self::Platform => &[
                "helm.sh/helm/v4",
                "github.com/helm-unittest/helm-unittest",
                "github.com/yannh/kubeconform",
                "github.com/coredns/coredns",
            ],
            Self::HelmOldest => &["helm.sh/helm/v3"],
        }
    }

    /// For example `Helm v4.3.1, CoreDNS v1.15.0`.
    fn title(self) -> anyhow::Result<String> {
        let mut parts = Vec::new();
        for module in self.requirements() {
            let product = match *module {
                "k8s.io/kubernetes" => "Kubernetes",
                "github.com/coredns/coredns" => "CoreDNS",
                "github.com/helm-unittest/helm-unittest" => "helm-unittest",
                "github.com/yannh/kubeconform" => "kubeconform",
                _ => "Helm",
            };
            parts.push(format!("{product} {}", self.version(module)?));
        }
        Ok(parts.join(", "))
    }

    fn version(self, module: &str) -> anyhow::Result<String> {
        let manifest = pins::dir(self.name()).join("go.mod");
        let text = std::fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
        let version = required_version(&text, module);
        let version = version.with_context(|| format!("{} does not require {module}", manifest.display()))?;
        Ok(version.to_owned())
    }

    fn linker_flags(self) -> anyhow::Result<String> {
        match self {
            Self::Platform | Self::HelmOldest => Ok("-s -w".to_owned()),
            Self::Kubernetes | Self::KubernetesOldest => {
                Ok(kubernetes_linker_flags(&self.version("k8s.io/kubernetes")?))
            }
        }
    }

    fn cache_dir(self, cache: &Cache) -> anyhow::Result<PathBuf> {
        pins::cache_dir(cache, self.name(), self.pins())
    }
}

/// The path of a program that has been built.
pub fn go_program(program: GoProgram) -> anyhow::Result<PathBuf> {
    let versions = Environment::read()?.versions();
    let path = program
        .module(versions)
        .cache_dir(&Cache::open()?)?
        .join(program.name());
    if !path.is_file() {
        bail!(
            "{} is not built yet: run `{}`",
            program.name(),
            versions.install_command()
        );
    }
    Ok(path)
}

/// Builds all programs of a module with one command, so that one is compiled while another is linked.
pub(crate) fn install(cache: &Cache, module: Module) -> anyhow::Result<Stage> {
    let directory = module.cache_dir(cache)?;
    if directory.is_dir() {
        return Ok(Stage::already_installed(module.title()?));
    }
    Stage::install(module.title()?, || build(module, &directory))
}

fn build(module: Module, directory: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    files::create_dir(&unfinished)?;
    let mut command = Command::new("go");
    command
        .current_dir(pins::dir(module.name()))
        .args(["build", "-trimpath", "-ldflags"])
        .arg(module.linker_flags()?)
        .arg("-o")
        // With a separator at its end, Go takes it for a directory.
        .arg(unfinished.join(""))
        .args(module.packages());
    output(&mut command).with_context(|| {
        format!(
            "build {} with Go (https://go.dev/doc/install)",
            module.title().unwrap_or_default()
        )
    })?;
    std::fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))
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

/// The files of a module that the Go program `tests/tools/<name>` requires: what it has beside its code, such as the
/// definitions of its kinds.
pub fn own_go_module(name: &str, module: &str) -> anyhow::Result<PathBuf> {
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.current_dir(pins::dir(name)).args(arguments);
        output(&mut command).with_context(|| format!("download {module} with Go (https://go.dev/doc/install)"))
    };
    go(&["mod", "download", module])?;
    let directory = go(&["list", "-m", "-f", "{{.Dir}}", module])?;
    Ok(PathBuf::from(directory.trim()))
}

/// Kubernetes programs learn their version from the linker; without it they
/// claim to be v0.0.0 and clients refuse them.
fn kubernetes_linker_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
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

    const MODULES: [Module; 4] = [
        Module::Kubernetes,
        Module::Platform,
        Module::KubernetesOldest,
        Module::HelmOldest,
    ];

    #[test]
    fn kubernetes_programs_are_told_the_version_of_the_pin() {
        let version = "k8s.io/component-base/version";
        assert_eq!(
            kubernetes_linker_flags("v1.37.2"),
            format!("-s -w -X {version}.gitVersion=v1.37.2 -X {version}.gitMajor=1 -X {version}.gitMinor=37")
        );
    }

    #[test]
    fn every_program_is_one_of_its_module_in_current_and_oldest_versions() {
        for program in GoProgram::ALL {
            for versions in [Versions::Current, Versions::Oldest] {
                let packages = program.module(versions).packages();
                let built = packages
                    .iter()
                    .any(|package| package.rsplit('/').next() == Some(program.name()));
                assert!(built, "{} {versions:?}", program.name());
            }
        }
    }

    #[test]
    fn a_module_is_titled_by_the_versions_that_it_pins() {
        for module in MODULES {
            let title = module.title().unwrap();
            assert!(title.contains(" v"), "{title}");
        }
        assert!(
            Module::KubernetesOldest
                .title()
                .unwrap()
                .starts_with("Kubernetes v1.34.")
        );
        assert!(Module::HelmOldest.title().unwrap().starts_with("Helm v3."));
    }
}
