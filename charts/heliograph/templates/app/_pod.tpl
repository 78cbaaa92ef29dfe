{{/*
Parts of the app's pod that its containers share.
*/}}

{{/* preStop + 5 s in which tasks stop + the drain window + 10 s to settle and exit. */}}
{{- define "heliograph.leastGraceSeconds" -}}
{{- addf .Values.app.preStopSleepSeconds 5 .Values.settings.DRAIN_SECONDS 10 | ceil | int -}}
{{- end -}}

{{/* Name of a worker's metrics port: the first is `metrics`. */}}
{{- define "heliograph.metricsPortName" -}}
metrics{{ if . }}-{{ . }}{{ end }}
{{- end -}}

{{- define "heliograph.appContainerEnv" -}}
env:
  {{- include "heliograph.appEnv" . | nindent 2 }}
  {{- with .Values.app.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
envFrom:
  - configMapRef:
      name: {{ include "heliograph.fullname" . }}
  {{- with .Values.app.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "heliograph.appContainerMounts" -}}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: data
    mountPath: /data
  {{- with include "heliograph.redis.volumeMounts" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.app.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* One constraint of spread; called with (dict "context" $ "key" … "how" …). */}}
{{- define "heliograph.spread" -}}
- maxSkew: 1
  topologyKey: {{ .key }}
  whenUnsatisfiable: {{ eq .how "required" | ternary "DoNotSchedule" "ScheduleAnyway" }}
  # A node that is cordoned or lost is no place to balance against.
  nodeTaintsPolicy: Honor
  # Each rollout is spread by itself: the pods that it replaces do not count.
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "heliograph.selectorLabels" (dict "context" .context "component" "app") | nindent 6 }}
{{- end -}}

{{- define "heliograph.appPlacement" -}}
{{- $app := .Values.app -}}
{{- if or (ne $app.topologySpread.hosts "off") (ne $app.topologySpread.zones "off") }}
topologySpreadConstraints:
  {{- if ne $app.topologySpread.hosts "off" }}
  {{- include "heliograph.spread" (dict "context" $ "key" "kubernetes.io/hostname" "how" $app.topologySpread.hosts) | nindent 2 }}
  {{- end }}
  {{- if ne $app.topologySpread.zones "off" }}
  {{- include "heliograph.spread" (dict "context" $ "key" "topology.kubernetes.io/zone" "how" $app.topologySpread.zones) | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $app.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $app.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $app.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $app.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
