{{/*
Rules between the values of Redis: a JSON list of sentences, for templates/validate.yaml.
*/}}

{{/* A quantity of memory in MiB, rounded down; 0 when it has another form. */}}
{{- define "heliograph.mebibytes" -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 "k" 0.00095367431640625 "M" 0.95367431640625 "G" 953.67431640625 "" 0.00000095367431640625 -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if and $number (hasKey $units $unit) }}{{ mulf (float64 $number) (get $units $unit) | floor | int }}{{ else }}0{{ end -}}
{{- end -}}

{{/* Lines of redis.conf that the chart decides. */}}
{{- define "heliograph.redis.decided" -}}
{{- list "aclfile" "appenddirname" "appendfilename" "appendfsync" "appendonly" "bind" "daemonize" "dbfilename" "dir" "include" "masterauth" "masteruser" "maxmemory" "maxmemory-policy" "min-replicas-to-write" "min-slaves-to-write" "port" "protected-mode" "replicaof" "requirepass" "slaveof" "user" | toJson -}}
{{- end -}}

{{- define "heliograph.redis.validate" -}}
{{- $faults := list -}}
{{- $redis := .Values.redis -}}
{{- if and $redis.enabled (eq $redis.mode "external") -}}
{{- $external := $redis.external -}}
{{- if and $external.cluster $external.sentinelHosts -}}
{{- $faults = append $faults "redis.external.cluster and redis.external.sentinelHosts exclude each other: a Redis Cluster has no Sentinels. Leave one out." -}}
{{- end -}}
{{- if and $external.sentinelPasswordSecret (empty $external.sentinelHosts) -}}
{{- $faults = append $faults "redis.external.sentinelPasswordSecret is set without redis.external.sentinelHosts: name the Sentinels, or leave it empty." -}}
{{- end -}}
{{- if and $external.caSecret (hasPrefix "redis://" $external.url) -}}
{{- $faults = append $faults "redis.external.caSecret is set, but redis.external.url begins with redis:// and is not encrypted: write rediss://, or leave caSecret empty." -}}
{{- end -}}
{{- end -}}
{{- if and $redis.enabled (ne $redis.mode "external") -}}
{{- $replicas := int $redis.sentinel.replicas -}}
{{- if eq $redis.mode "sentinel" -}}
{{- if eq (mod $replicas 2) 0 -}}
{{- $faults = append $faults (printf "redis.sentinel.replicas is %d: with an even number one more pod must live for a majority, so it makes nothing safer. Set %d or %d." $replicas (sub $replicas 1) (add $replicas 1)) -}}
{{- end -}}
{{- if ge (int $redis.sentinel.minReplicasToWrite) (sub $replicas 1) -}}
{{- $faults = append $faults (printf "redis.sentinel.minReplicasToWrite is %d of %d replicas beside the master, so that the loss of one pod would stop all writes: lower it." (int $redis.sentinel.minReplicasToWrite) (sub $replicas 1)) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $redis.durability "replicated") (or (eq $redis.mode "standalone") (and (eq $redis.mode "cluster") (eq (int $redis.cluster.replicasPerMaster) 0))) -}}
{{- $faults = append $faults (printf "redis.durability is replicated, but with redis.mode=%s there is no replica to wait for: set redis.durability=memory, or give it replicas." $redis.mode) -}}
{{- end -}}
{{- $limit := int (include "heliograph.mebibytes" (dig "limits" "memory" "" $redis.resources)) -}}
{{- if and (gt $limit 0) (gt (int $redis.maxmemoryMiB) (int (mulf $limit 0.8))) -}}
{{- $faults = append $faults (printf "redis.maxmemoryMiB is %d, more than 80 %% of redis.resources.limits.memory (%d MiB): Redis would be killed before it refuses writes. Lower it to %d, or raise the limit." (int $redis.maxmemoryMiB) $limit (int (mulf $limit 0.8))) -}}
{{- end -}}
{{- $decided := include "heliograph.redis.decided" . | fromJsonArray -}}
{{- range $name, $_ := $redis.extraConfig -}}
{{- if or (has $name $decided) (regexMatch "^(tls|cluster|replica-announce|slave-announce|rename)-" $name) -}}
{{- $faults = append $faults (printf "redis.extraConfig.%s is decided by the chart: leave it out and use the value for it (docs/redis.md)." $name) -}}
{{- end -}}
{{- end -}}
{{- /* What an upgrade cannot change. Without the cluster (helm template) nothing is found. */ -}}
{{- $before := (lookup "apps/v1" "StatefulSet" .Release.Namespace (include "heliograph.redis.fullname" .)).metadata | default dict -}}
{{- $told := $before.annotations | default dict -}}
{{- $mode := get $told "heliograph/redis-mode" -}}
{{- if and $mode (ne $mode $redis.mode) -}}
{{- $faults = append $faults (printf "redis.mode is %s, but this release runs %s, and their volumes do not fit each other: keep it, or uninstall, delete the PersistentVolumeClaims of Redis and install again (docs/redis.md)." $redis.mode $mode) -}}
{{- end -}}
{{- $masters := get $told "heliograph/redis-masters" -}}
{{- if and (eq $redis.mode "cluster") $masters (ne $masters (toString $redis.cluster.masters)) -}}
{{- $faults = append $faults (printf "redis.cluster.masters is %v, but this cluster was formed with %s, and slots are not moved by an upgrade: set it back to %s, and give the masters more memory instead (docs/redis.md)." $redis.cluster.masters $masters $masters) -}}
{{- end -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}

{{/* What to know of the chosen Redis, for NOTES.txt: one line each. */}}
{{- define "heliograph.redis.notes" -}}
{{- $redis := .Values.redis -}}
{{- if not $redis.enabled }}
* Redis is off: one replica, and what is hot is gone with its process.
{{- else if ne $redis.mode "external" -}}
{{- if eq $redis.mode "standalone" }}
* redis.mode is standalone: while its one pod restarts, events wait. Use sentinel or cluster in production.
{{- end }}
{{- if not $redis.persistence.enabled }}
* redis.persistence is off: what is hot is lost when all pods of Redis end at once.
{{- else if lt (int (include "heliograph.mebibytes" $redis.persistence.size)) (mul 2 $redis.maxmemoryMiB | int) }}
* redis.persistence.size is {{ $redis.persistence.size }}, less than twice redis.maxmemoryMiB ({{ $redis.maxmemoryMiB }}): a rewrite of the append-only file may fill the volume.
{{- end }}
{{- if not $redis.tls.enabled }}
* redis.tls is off: passwords and events cross the cluster's network in clear.
{{- end }}
{{- if eq $redis.topologySpread.hosts "off" }}
* redis.topologySpread.hosts is off: one node that dies may take a majority of Redis with it.
{{- end }}
{{- end }}
{{- if .Values.postgresql.enabled }}
* postgresql.enabled is for evaluation: one pod, without backups or failover. Use externalDatabase in production.
{{- end }}
{{- end -}}
