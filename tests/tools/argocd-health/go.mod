module steadfast.dev/tests/tools/argocd-health

go 1.26.1

require github.com/yuin/gopher-lua v1.1.1
