//! The build context of an image of one program: the program and the certificates
//! that it trusts, nothing else.

use std::{fs, path::Path};

use anyhow::Context as _;
use tokio::process::Command;

use super::Program;
use crate::{files, process::output, temp_dir::TempDir, tools};

/// Debian's bundle, at the path that TLS libraries read.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The user `nonroot` of distroless images.
pub(super) const USER: &str = "65532:65532";

/// Creates the build context in a temporary directory.
pub(super) async fn of_program(program: Program, binary: &Path) -> anyhow::Result<TempDir> {
    let dir = TempDir::new("image")?;
    let root = dir.path().join("root");
    let certificates = Path::new("/").join(CERTIFICATES);
    copy(&certificates, &root.join(CERTIFICATES))
        .context("copy the certificates: install the Debian package ca-certificates")?;
    strip(binary, &root.join(program.package())).await?;
    let dockerfile = dir.path().join("Dockerfile");
    files::write(&dockerfile, &self::dockerfile(program))?;
    Ok(dir)
}

fn dockerfile(program: Program) -> String {
    let package = program.package();
    format!(
        "FROM scratch\n\
         LABEL org.opencontainers.image.title={package} org.opencontainers.image.version={version}\n\
         COPY root/ /\n\
         USER {USER}\n\
         ENTRYPOINT [\"/{package}\"]\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    files::create_dir(to.parent().context("a file is in a directory")?)?;
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Copies a program without its debug information, which is most of its size. The
/// names of functions stay, for backtraces.
async fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(tools::installed("strip")?);
    command.arg("--strip-debug").arg("-o").arg(to).arg(from);
    output(&mut command).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_runs_its_program_as_an_unprivileged_user() {
        let expected = format!(
            "FROM scratch\n\
             LABEL org.opencontainers.image.title=steadfast-worker org.opencontainers.image.version={}\n\
             COPY root/ /\n\
             USER 65532:65532\n\
             ENTRYPOINT [\"/steadfast-worker\"]\n",
            env!("CARGO_PKG_VERSION"),
        );
        assert_eq!(dockerfile(Program::Worker), expected);
    }
}
