{{/*
Parts that the containers of a Redis pod share.
*/}}

{{/* Called with (dict "context" $ "container" "redis"). */}}
{{- define "heliograph.redis.containerEnv" -}}
{{- $redis := .context.Values.redis -}}
{{- $name := include "heliograph.redis.fullname" .context -}}
{{- $namespace := .context.Release.Namespace -}}
{{- $second := dict "sentinel" "26379" "cluster" "16379" "standalone" "0" -}}
env:
  - name: MODE
    value: {{ $redis.mode }}
  - name: POD_NAME
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - name: POD_NAMESPACE
    valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
  - name: NODE_NAME
    valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
  # In full: a pod's own name, which is that of its Service, is the pod's address in its /etc/hosts.
  - name: PEERS
    {{- if eq $redis.mode "standalone" }}
    value: {{ $name }}.{{ $namespace }}.svc:6379:0
    {{- else }}
    value: {{ range $i := until (int (include "heliograph.redis.pods" .context)) }}{{ if $i }} {{ end }}{{ $name }}-{{ $i }}.{{ $namespace }}.svc:6379:{{ get $second $redis.mode }}{{ end }}
    {{- end }}
  # How long a new pod's Service may take to lead to it on all nodes, and a second more.
  - name: QUIET_SECONDS
    value: "4"
  - name: RUN
    value: /run/redis/{{ .container }}
  - name: CONFIG
    value: /scripts
  - name: TLS
    value: {{ $redis.tls.enabled | ternary "yes" "no" | quote }}
  - name: KEY_PREFIX
    value: {{ .context.Values.settings.REDIS_KEY_PREFIX | quote }}
  {{- if eq $redis.mode "sentinel" }}
  - name: MASTER_NAME
    value: {{ $redis.sentinel.masterName }}
  {{- end }}
{{- end -}}

{{/* Called with (dict "context" $). */}}
{{- define "heliograph.redis.mounts" -}}
volumeMounts:
  - name: data
    mountPath: /data
  - name: run
    mountPath: /run/redis
  - name: scripts
    mountPath: /scripts
    readOnly: true
  - name: passwords
    mountPath: /secrets
    readOnly: true
  {{- if .context.Values.redis.tls.enabled }}
  - name: tls
    mountPath: /tls
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "heliograph.redis.placement" -}}
{{- $redis := .Values.redis -}}
{{- $keys := list (list $redis.topologySpread.hosts "kubernetes.io/hostname") (list $redis.topologySpread.zones "topology.kubernetes.io/zone") -}}
{{- if or (ne $redis.topologySpread.hosts "off") (ne $redis.topologySpread.zones "off") }}
topologySpreadConstraints:
  {{- range $keys }}
  {{- if ne (first .) "off" }}
  - maxSkew: 1
    topologyKey: {{ last . }}
    whenUnsatisfiable: {{ eq (first .) "required" | ternary "DoNotSchedule" "ScheduleAnyway" }}
    # A node that is cordoned or lost is no place to balance against.
    nodeTaintsPolicy: Honor
    labelSelector:
      matchLabels:
        {{- include "heliograph.selectorLabels" (dict "context" $ "component" "redis") | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- with $redis.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $redis.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $redis.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $redis.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
