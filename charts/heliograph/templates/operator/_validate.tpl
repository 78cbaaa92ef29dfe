{{/*
Rules between the values of the operator and others: a JSON list of sentences, for
templates/validate.yaml.
*/}}
{{- define "heliograph.operator.validate" -}}
{{- $faults := list -}}
{{- $operator := .Values.operator -}}
{{- if $operator.enabled -}}
{{- if not .Values.redis.enabled -}}
{{- $faults = append $faults "operator.enabled is true, and the operator reaches replicas through Redis: set redis.enabled=true, or operator.enabled=false." -}}
{{- end -}}
{{- $server := .Values.networkPolicy.apiServer -}}
{{- if and .Values.networkPolicy.enabled (or (empty $server.cidrs) (empty $server.ports)) -}}
{{- $faults = append $faults "operator.enabled is true, but networkPolicy.apiServer lets it go nowhere: name addresses and ports of the Kubernetes API server." -}}
{{- end -}}
{{- if $operator.crds.install -}}
{{- /* Without the cluster (helm template) nothing is found. */ -}}
{{- $name := "realtimegateways.heliograph.dev" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- if $found -}}
{{- $told := dig "metadata" "annotations" dict $found -}}
{{- $release := get $told "meta.helm.sh/release-name" -}}
{{- $namespace := get $told "meta.helm.sh/release-namespace" -}}
{{- if not (and (eq (toString $release) .Release.Name) (eq (toString $namespace) .Release.Namespace)) -}}
{{- $owner := ternary "no release" (printf "release %v of namespace %v" $release $namespace) (empty $release) -}}
{{- $faults = append $faults (printf "the CustomResourceDefinition %s is there already and belongs to %s: set operator.crds.install=false here, or hand it to this release first (docs/operator.md)." $name $owner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if $operator.watchNodes -}}
{{- $faults = append $faults "operator.watchNodes is true, but there is no operator: set operator.enabled=true too." -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}
