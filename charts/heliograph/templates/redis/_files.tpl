{{/*
Configuration and scripts of the pods. What differs between pods (addresses, roles) and what is
secret is added by redis.sh and sentinel.sh when they start.
*/}}

{{- define "heliograph.redis.conf" -}}
{{- $redis := .Values.redis -}}
bind * -::*
# Every user has a password (users.acl).
protected-mode no
tcp-keepalive 60

# The append-only file is what survives; no snapshots beside it.
appendonly yes
appendfsync {{ $redis.appendfsync }}
save ""

# What is full refuses; nothing is thrown away behind the app's back.
maxmemory {{ int $redis.maxmemoryMiB }}mb
maxmemory-policy noeviction

# A replica that was away for a moment catches up from the backlog. One that is silent is given
# up after 15 s.
repl-backlog-size {{ max 16 (div (int $redis.maxmemoryMiB) 8) }}mb
repl-ping-replica-period 2
repl-timeout 15
repl-diskless-sync yes
repl-diskless-sync-delay 0
shutdown-timeout 8

# Subscribers of the app also read replays on these connections; one that lags more than this is
# cut, and reads what it lacks from the logs.
client-output-buffer-limit pubsub 64mb 32mb 60
{{- if eq $redis.mode "sentinel" }}

min-replicas-to-write {{ $redis.sentinel.minReplicasToWrite }}
min-replicas-max-lag 10
{{- end }}
{{- if eq $redis.mode "cluster" }}

cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout {{ $redis.cluster.nodeTimeoutMilliseconds }}
cluster-require-full-coverage {{ $redis.cluster.requireFullCoverage | ternary "yes" "no" }}
# A replica that has just started may take over, or slots whose master does not come back after
# all pods ended at once would stay without one.
cluster-replica-validity-factor 0
# Who replicates whom is the keeper's affair: it knows the nodes.
cluster-allow-replica-migration no
{{- end }}
{{- with $redis.extraConfig }}
{{ range $name, $value := . }}
{{ $name }} {{ if kindIs "bool" $value }}{{ ternary "yes" "no" $value }}{{ else if kindIs "string" $value }}{{ $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The files by name. */}}
{{- define "heliograph.redis.files" -}}
{{- $mode := .Values.redis.mode -}}
{{- $names := list "common.sh" "redis.sh" "pre-stop.sh" "probe.sh" -}}
{{- if eq $mode "sentinel" -}}
{{- $names = concat $names (list "role-sentinel.sh" "sentinel.sh" "keeper.sh" "keeper-sentinel.sh") -}}
{{- else if eq $mode "cluster" -}}
{{- $names = concat $names (list "role-cluster.sh" "keeper.sh" "keeper-cluster.sh" "plan.awk") -}}
{{- end -}}
redis.conf: |
  {{- include "heliograph.redis.conf" . | nindent 2 }}
{{- range $names }}
{{ . }}: |
  {{- $.Files.Get (printf "files/redis/%s" .) | nindent 2 }}
{{- end }}
{{- end -}}
