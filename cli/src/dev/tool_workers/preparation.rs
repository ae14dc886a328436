//! Prepares a worker: makes its virtual environment, or builds it.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{process::Command, time::sleep};
use uuid::Uuid;

use super::{
    super::{environment::Environment, status},
    description::{Python, ToolWorker},
};

const LOCK_PERIOD: Duration = Duration::from_millis(100);
/// The directory of packages without a virtual environment.
const PACKAGES: &str = "packages";
/// Written last: what the environment was made from.
const COMPLETE: &str = "requirements.installed";

/// A program that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Prepared {
    pub(in super::super) program: PathBuf,
    pub(in super::super) arguments: Vec<OsString>,
    /// The programs of the virtual environment.
    bin: Option<PathBuf>,
    /// Packages without a virtual environment, on a machine that cannot make one.
    pub(super) packages: Option<PathBuf>,
}

/// What pip has installed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Installed {
    Environment { bin: PathBuf },
    Packages { directory: PathBuf },
}

impl Prepared {
    /// PATH with the programs of the virtual environment first.
    pub(super) fn path_with(&self, path: Option<&str>) -> Option<String> {
        let bin = self.bin.as_ref()?.display();
        Some(path.map_or_else(|| bin.to_string(), |path| format!("{bin}:{path}")))
    }
}

/// Prepares a worker; `environments` is the directory for virtual environments.
pub(super) async fn prepare(
    worker: &ToolWorker,
    environments: &Path,
    environment: &Environment,
) -> anyhow::Result<Prepared> {
    let installed = match &worker.python {
        Some(python) => Some(install(worker, python, environments, environment).await?),
        None => None,
    };
    let (bin, packages) = match installed {
        Some(Installed::Environment { bin }) => (Some(bin), None),
        Some(Installed::Packages { directory }) => (None, Some(directory)),
        None => (None, None),
    };
    if let Some((program, arguments)) = worker.build.split_first() {
        status(&format!("{}: building …", worker.name));
        run(Command::new(program).args(arguments), worker, environment).await?;
    }
    let (program, arguments) = worker.command.split_first().context("a worker without a command")?;
    Ok(Prepared {
        program: if packages.is_some() && program == "python" {
            // Debian has no program of the other name.
            PathBuf::from("python3")
        } else {
            find(program, &worker.directory, bin.as_deref())
        },
        arguments: arguments.iter().map(OsString::from).collect(),
        bin,
        packages,
    })
}

/// The program of a command: of the virtual environment, below the directory of the worker, or on PATH.
fn find(program: &str, directory: &Path, bin: Option<&Path>) -> PathBuf {
    if let Some(found) = bin.map(|bin| bin.join(program)).filter(|path| path.is_file()) {
        return found;
    }
    if program.contains('/') {
        directory.join(program)
    } else {
        PathBuf::from(program)
    }
}

/// Installs the requirements if they have changed.
async fn install(
    worker: &ToolWorker,
    python: &Python,
    environments: &Path,
    environment: &Environment,
) -> anyhow::Result<Installed> {
    let requirements = worker.directory.join(&python.requirements);
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let directory = environments.join(directory_name(&requirements, &worker.name));
    fs::create_dir_all(environments).with_context(|| format!("create the directory {}", environments.display()))?;
    // Another `steadfast` may make the same one.
    let lock = File::create(directory.with_extension("lock")).context("lock the virtual environment")?;
    while lock.try_lock().is_err() {
        sleep(LOCK_PERIOD).await;
    }
    let installed = || {
        let bin = directory.join("bin");
        let packages = directory.join(PACKAGES);
        if packages.is_dir() {
            Installed::Packages { directory: packages }
        } else {
            Installed::Environment { bin }
        }
    };
    let complete = directory.join(COMPLETE);
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(installed());
    }
    status(&format!(
        "{}: installing {} into a virtual environment, once …",
        worker.name,
        python.requirements.display()
    ));
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    let bin = directory.join("bin");
    if has_uv(environment) {
        run(
            Command::new("uv").args(["venv", "--quiet"]).arg(&directory),
            worker,
            environment,
        )
        .await?;
        let mut install = Command::new("uv");
        install
            .args(["pip", "install", "--quiet", "--python"])
            .arg(bin.join("python"));
        run(install.arg("--requirement").arg(&requirements), worker, environment).await?;
    } else {
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(&directory);
        let is_made = run(&mut create, worker, environment).await.is_ok();
        let mut install = Command::new(if is_made { bin.join("python") } else { "python3".into() });
        install.args(["-m", "pip", "install", "--quiet"]);
        if !is_made {
            // Debian has the module venv in a package of its own, python3-venv.
            if directory.exists() {
                fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
            }
            install.arg("--target").arg(directory.join(PACKAGES));
        }
        run(install.arg("--requirement").arg(&requirements), worker, environment).await?;
    }
    fs::write(&complete, wanted).with_context(|| format!("write {}", complete.display()))?;
    Ok(installed())
}

/// Each requirements file has a directory of its own, which `steadfast dev` and `steadfast test` share.
fn directory_name(requirements: &Path, name: &str) -> String {
    let path = requirements.canonicalize().unwrap_or_else(|_| requirements.to_owned());
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, path.as_os_str().as_encoded_bytes());
    format!("{name}-{id}")
}

fn has_uv(environment: &Environment) -> bool {
    let path = environment.get("PATH").unwrap_or_default();
    std::env::split_paths(path).any(|directory| directory.join("uv").is_file())
}

/// Runs a program to its end. The error holds everything that it printed.
async fn run(command: &mut Command, worker: &ToolWorker, environment: &Environment) -> anyhow::Result<()> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(&worker.directory)
        .env_clear()
        .envs(environment.for_installers())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_that_of_the_virtual_environment_first() {
        let bin = tempfile::tempdir().unwrap();
        fs::write(bin.path().join("python"), "").unwrap();
        let find = |program| find(program, Path::new("/w"), Some(bin.path()));
        assert_eq!(find("python"), bin.path().join("python"));
        assert_eq!(find("./serve.sh"), Path::new("/w/./serve.sh"));
        assert_eq!(find("node"), Path::new("node"));
    }
}
