"""A minimal manifest of every kind that is stored: (apiVersion, kind) → all but apiVersion, kind and metadata. tests/house
sees to it that none is missing."""

LABELS = {"app": "kinds"}
POD = {"containers": [{"name": "c", "image": "localhost/none:1"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {"spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}}
JOB = {"suspend": True, "template": {"spec": {**POD, "restartPolicy": "Never"}}}
CRON = {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": JOB}}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
BUDGET = {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "nobody"}}}}
SCALE_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
EVENT_TIME = "2024-01-01T00:00:00.000000Z"
WEBHOOK = {"name": "kinds.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
           "clientConfig": {"url": "https://127.0.0.1:1/"},
           "rules": [{"apiGroups": ["kinds.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                      "resources": ["nothings"]}]}
CRD = {"group": "kinds.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
       "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}

MANIFESTS = {
    ("v1", "ConfigMap"): {"data": {"a": "1"}},
    ("v1", "Endpoints"): {"subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 80}]}]},
    ("v1", "Event"): {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "$NS"}, "reason": "Test", "message": "m",
                      "type": "Normal"},
    ("v1", "LimitRange"): {"spec": {"limits": [{"type": "Container", "max": {"cpu": "64"}}]}},
    ("v1", "Namespace"): {},
    ("v1", "Node"): {},
    ("v1", "PersistentVolume"): {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                                          "hostPath": {"path": "/nowhere"}}},
    ("v1", "PersistentVolumeClaim"): {"spec": CLAIM},
    ("v1", "Pod"): {"spec": {**POD, "schedulerName": "nobody"}},
    ("v1", "PodTemplate"): {"template": TEMPLATE},
    ("v1", "ReplicationController"): {"spec": {"replicas": 0, "template": TEMPLATE}},
    ("v1", "ResourceQuota"): {"spec": {"hard": {"pods": "1000"}}},
    ("v1", "Secret"): {"stringData": {"a": "1"}},
    ("v1", "Service"): {"spec": {"ports": [{"port": 80}]}},
    ("v1", "ServiceAccount"): {},
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): {"webhooks": [WEBHOOK]},
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): {"webhooks": [WEBHOOK]},
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): {
        "spec": {"failurePolicy": "Ignore", "validations": [{"expression": "true"}],
                 "matchConstraints": {"resourceRules": WEBHOOK["rules"]}}},
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): {
        "spec": {"policyName": "nobody", "validationActions": ["Audit"]}},
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): {"spec": CRD, "name": "things.kinds.example.com"},
    ("apiregistration.k8s.io/v1", "APIService"): {
        "spec": {"group": "nothing.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                 "service": {"namespace": "default", "name": "nobody"}, "insecureSkipTLSVerify": True},
        "name": "v1.nothing.example.com"},
    ("apps/v1", "ControllerRevision"): {"data": {"a": 1}, "revision": 1},
    ("apps/v1", "DaemonSet"): {"spec": {"selector": {"matchLabels": LABELS},
                                        "template": {**TEMPLATE, "spec": {**POD, "nodeSelector": {"no": "where"}}}}},
    ("apps/v1", "Deployment"): WORKLOAD,
    ("apps/v1", "ReplicaSet"): WORKLOAD,
    ("apps/v1", "StatefulSet"): {"spec": {**WORKLOAD["spec"], "serviceName": "s"}},
    ("autoscaling/v1", "HorizontalPodAutoscaler"): {"spec": {"scaleTargetRef": SCALE_TARGET, "maxReplicas": 3}},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"spec": {"scaleTargetRef": SCALE_TARGET, "maxReplicas": 3}},
    ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler"): {"spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}},
    ("autoscaling.k8s.io/v1", "VerticalPodAutoscalerCheckpoint"): {"spec": {"vpaObjectName": "v", "containerName": "c"}},
    ("batch/v1", "CronJob"): CRON,
    ("batch/v1", "Job"): {"spec": JOB},
    ("batch/v1beta1", "CronJob"): CRON,
    ("certificates.k8s.io/v1", "CertificateSigningRequest"): {
        "spec": {"signerName": "example.com/kinds", "usages": ["client auth"], "request": "$CSR"}},
    ("coordination.k8s.io/v1", "Lease"): {"spec": {"holderIdentity": "me"}},
    ("descheduling.atoll.dev/v1alpha1", "DeschedulerPolicy"): {"spec": {"suspend": True}},
    ("discovery.k8s.io/v1", "EndpointSlice"): {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.9"]}],
                                               "ports": [{"port": 80}]},
    ("discovery.k8s.io/v1beta1", "EndpointSlice"): {
        "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["192.0.2.9"], "topology": {"kubernetes.io/hostname": "n1"}}]},
    ("events.k8s.io/v1", "Event"): {"regarding": {"kind": "Pod", "name": "p", "namespace": "$NS"}, "reason": "Test",
                                    "note": "m", "type": "Normal", "eventTime": EVENT_TIME, "action": "Test",
                                    "reportingController": "example.com/kinds", "reportingInstance": "me"},
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"): {
        "spec": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 9999}},
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"): {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    ("networking.k8s.io/v1", "Ingress"): {
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    ("networking.k8s.io/v1", "IngressClass"): {"spec": {"controller": "example.com/kinds"}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}},
    ("node.k8s.io/v1", "RuntimeClass"): {"handler": "none"},
    ("policy/v1", "PodDisruptionBudget"): BUDGET,
    ("policy/v1beta1", "PodDisruptionBudget"): BUDGET,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {"rules": []},
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): {"roleRef": ROLE_REF},
    ("rbac.authorization.k8s.io/v1", "Role"): {"rules": []},
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): {"roleRef": ROLE_REF},
    ("scheduling.k8s.io/v1", "PriorityClass"): {"value": 7},
    ("scheduling.x-k8s.io/v1alpha1", "PodGroup"): {"spec": {"minMember": 1}},
    ("scheduling.x-k8s.io/v1alpha1", "ElasticQuota"): {"spec": {"min": {"cpu": "1"}, "max": {"cpu": "2"}}},
    ("snapshot.storage.k8s.io/v1", "VolumeSnapshot"): {"spec": {"source": {"persistentVolumeClaimName": "c"}}},
    ("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass"): {"driver": "example.com", "deletionPolicy": "Delete"},
    ("snapshot.storage.k8s.io/v1", "VolumeSnapshotContent"): {
        "spec": {"volumeSnapshotRef": {"name": "s", "namespace": "default"}, "deletionPolicy": "Retain",
                 "driver": "example.com", "source": {"snapshotHandle": "h"}}},
    ("sp.atoll.dev/v1", "Topology"): {"spec": {"pattern": "pubsub"}},
    ("storage.k8s.io/v1", "CSIDriver"): {"spec": {}},
    ("storage.k8s.io/v1", "CSINode"): {"spec": {"drivers": []}},
    ("storage.k8s.io/v1", "CSIStorageCapacity"): {"storageClassName": "none"},
    ("storage.k8s.io/v1", "StorageClass"): {"provisioner": "example.com/none"},
    ("storage.k8s.io/v1", "VolumeAttachment"): {
        "spec": {"attacher": "example.com", "nodeName": "n9", "source": {"persistentVolumeName": "v"}}},
}

# Kinds that are answered, not stored.
VIRTUAL = {"Binding", "ComponentStatus", "LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectReview",
           "SelfSubjectRulesReview", "SubjectAccessReview", "TokenReview"}
