//! kube-scheduler.

use std::path::Path;

use crate::process::Launch;

const REQUESTS_PER_SECOND: u32 = 1000;

pub(crate) fn launch(program: &Path, kubeconfig: &Path) -> Launch {
    Launch::new("kube-scheduler", program)
        .path_flag("kubeconfig", kubeconfig)
        .flag("leader-elect", false)
        .flag("secure-port", 0)
        .flag("kube-api-qps", REQUESTS_PER_SECOND)
        .flag("kube-api-burst", REQUESTS_PER_SECOND * 2)
}
