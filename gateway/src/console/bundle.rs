//! The files of the console. Written by `cargo xtask console`.

use super::File;

pub(super) const FILES: &[File] = &[
    File {
        name: "icon-Bk8XbIT6.svg",
        content_type: "image/svg+xml",
        content: include_bytes!("../../../console/dist/console/assets/icon-Bk8XbIT6.svg"),
    },
    File {
        name: "index-C_lDnyx3.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../../../console/dist/console/assets/index-C_lDnyx3.js"),
    },
    File {
        name: "index-RmgJDY7e.css",
        content_type: "text/css; charset=utf-8",
        content: include_bytes!("../../../console/dist/console/assets/index-RmgJDY7e.css"),
    },
    File {
        name: "",
        content_type: "text/html; charset=utf-8",
        content: include_bytes!("../../../console/dist/index.html"),
    },
];
