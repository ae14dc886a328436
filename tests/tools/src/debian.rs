//! Programs that come as Debian packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::Stage;
use crate::args::Environment;
use crate::command::output;

/// How to tell that a package, or its like from elsewhere, is there.
enum Sign {
    Program(&'static str),
    File(&'static str),
    /// A command that succeeds.
    Succeeds(&'static str, &'static [&'static str]),
}

/// Every package, by what it is needed for.
const PACKAGES: [(&str, Sign); 19] = [
    ("etcd-server", Sign::Program("etcd")),
    ("containerd", Sign::Program("containerd")),
    ("runc", Sign::Program("runc")),
    ("containernetworking-plugins", Sign::File("/usr/lib/cni/bridge")),
    ("nftables", Sign::Program("nft")),
    ("iptables", Sign::Program("iptables")),
    ("iproute2", Sign::Program("ip")),
    ("slirp4netns", Sign::Program("slirp4netns")),
    ("procps", Sign::Program("sysctl")),
    ("util-linux", Sign::Program("nsenter")),
    ("buildah", Sign::Program("buildah")),
    ("mmdebstrap", Sign::Program("mmdebstrap")),
    (
        "busybox-static",
        Sign::Succeeds("dpkg-query", &["--status", "busybox-static"]),
    ),
    // Compiles the allocator of the worker.
    ("make", Sign::Program("make")),
    ("redis-server", Sign::Program("redis-server")),
    ("npm", Sign::Program("npm")),
    // Shows the console to its tests.
    ("chromium", Sign::Program("chromium")),
    ("python3-pip", Sign::Succeeds("python3", &["-m", "pip", "--version"])),
    (
        "python3-venv",
        Sign::Succeeds("python3", &["-c", "import ensurepip, venv"]),
    ),
];

/// The path of a program from a Debian package.
pub fn installed(program: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = find(program)? {
        return Ok(path);
    }
    let package = PACKAGES
        .iter()
        .find(|(_, sign)| matches!(sign, Sign::Program(name) if *name == program))
        .map_or(program, |(package, _)| package);
    bail!(
        "{program} is not installed: run `{}` as root",
        install_command(&[package])
    )
}

pub(crate) fn install() -> anyhow::Result<Stage> {
    let mut missing = Vec::new();
    for (package, sign) in &PACKAGES {
        if !is_there(sign)? {
            missing.push(*package);
        }
    }
    if missing.is_empty() {
        return Ok(Stage::already_installed("Debian packages"));
    }
    let command = install_command(&missing);
    if !nix::unistd::geteuid().is_root() {
        bail!("Debian packages are missing: run `{command}` as root");
    }
    Stage::install(format!("Debian packages ({})", missing.join(" ")), || {
        apt_get(&["update"])?;
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(&missing);
        apt_get(&arguments)
    })
    .with_context(|| format!("`{command}` failed"))
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut command).map(drop)
}

fn install_command(packages: &[&str]) -> String {
    format!(
        "apt-get update && apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

fn is_there(sign: &Sign) -> anyhow::Result<bool> {
    Ok(match sign {
        Sign::Program(name) => find(name)?.is_some(),
        Sign::File(path) => Path::new(path).is_file(),
        Sign::Succeeds(program, arguments) => Command::new(program)
            .args(*arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    })
}

fn find(program: &str) -> anyhow::Result<Option<PathBuf>> {
    let directories = Environment::read()?.search_path();
    Ok(directories
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_file()))
}
