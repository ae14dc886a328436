//! The folder an image of one program is built from: the program, the
//! certificates it trusts, and nothing else.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use super::Program;
use crate::process::output;
use crate::scratch::Scratch;
use crate::{files, tools};

/// Debian's bundle, under the path where every TLS library looks.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The user `nonroot` of distroless images, for want of a better known one.
pub const USER: &str = "65532:65532";

/// Puts the folder together; it is gone when dropped.
pub async fn of_program(program: Program, binary: &Path) -> anyhow::Result<Scratch> {
    let folder = Scratch::new("image")?;
    let root = folder.path().join("root");
    let certificates = Path::new("/").join(CERTIFICATES);
    copy(&certificates, &root.join(CERTIFICATES)).context("the package ca-certificates is needed for images")?;
    strip(binary, &root.join(program.package())).await?;
    let dockerfile = folder.path().join("Dockerfile");
    files::write(&dockerfile, &self::dockerfile(program))?;
    Ok(folder)
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
    files::make_folder(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Copies a program without its debug information, which is most of it. The
/// names of functions stay, so that a backtrace can be read.
async fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(tools::installed("strip")?);
    command.arg("--strip-debug").arg("-o").arg(to).arg(from);
    output(&mut command).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_runs_its_program_and_not_as_root() {
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
