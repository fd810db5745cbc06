"""Cases of optimizers, rates and schedules, as rule_cases.py has those of the rest; open it for one of them.

SOUND is what of such options trains in the real sd-scripts, and so must be no error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rule_setups import MACHINE

from tagflow.training.machine.probe import ClassSeen


def o(*drop: str, **options: Any) -> dict[str, Any]:
    return {"options": options, "drop": drop}


PRODIGY = {"optimizer_type": "Prodigy", "learning_rate": 1.0, "unet_lr": 1.0, "text_encoder_lr": [1.0]}
ADAFACTOR = {"optimizer_type": "Adafactor", "optimizer_args": ["relative_step=False"]}
NO_CLASS = replace(MACHINE, classes={"torch.optim.Muon": ClassSeen(None, False, "class", "AttributeError")})

# The code, what has the fault, what comes near it, and the other codes of the bad one.
TABLE: list[tuple[Any, ...]] = [
    ("optimizer-unusable", o(optimizer_type="pytorch_optimizer.SAM"),
         o(optimizer_type="pytorch_optimizer.CAME")),
    (
        "optimizer-argument-unknown",
        o(**PRODIGY, optimizer_args=["scale_parameter=False", "relative_step=False", "warmup_init=False"]),
        o("lr_warmup_steps", **ADAFACTOR | {"optimizer_args": ["scale_parameter=False",
             "relative_step=False"]}),
    ),
    (
        "optimizer-argument-ignored",
        o(optimizer_type="pytorch_optimizer.CAME", optimizer_args=["weigth_decay=0.1"]),
        o(optimizer_type="pytorch_optimizer.CAME", optimizer_args=["weight_decay=0.1"]),
    ),
    ("optimizer-argument-twice", o(optimizer_args=["lr=1e-4"]), o(optimizer_args=["eps=1e-6"])),
    (
        "optimizer-argument-repeated",
        o(optimizer_args=["eps=1e-6", "eps=1e-7"]),
        o(optimizer_args=["eps=1e-6", "weight_decay=0.1"]),
    ),
    (
        "optimizer-argument-value",
        o(optimizer_args=["weight_decay=0.5,"]),
        o(optimizer_args=["weight_decay=0.5", "betas=0.9,0.99"]),
    ),
    (
        "optimizer-argument-range",
        o(optimizer_type="AdamW", optimizer_args=["betas=0.9,1.0"]),
        o(optimizer_type="AdamW", optimizer_args=["betas=0.9,0.9999", "weight_decay=0"]),
    ),
    (
        "optimizer-argument-missing",
        o(optimizer_type="transformers.optimization.Adafactor"),
        o(**ADAFACTOR | {"optimizer_type": "transformers.Adafactor"}),
    ),
    ("adafactor-clipped", o(**ADAFACTOR), o(**ADAFACTOR, max_grad_norm=0.0)),
    ("learning-rate-refused", o(**PRODIGY | {"learning_rate": 0.0}), o(learning_rate=0.0)),
    ("learning-rate-negative", o("learning_rate", unet_lr=-1e-4), o(unet_lr=1e-4)),
    (
        "decay-beyond",
        o(lr_scheduler="warmup_stable_decay", lr_decay_steps=0.95),
        o(lr_scheduler="warmup_stable_decay", lr_decay_steps=0.9),
    ),
    ("steps-share-beyond", o(lr_warmup_steps=100.0), o(lr_warmup_steps=100)),
    ("scheduler-argument-unknown", o(lr_scheduler_args=["T_max=1"]), o(lr_scheduler_args=["num_cycles=0.4"])),
    (
        "scheduler-argument-twice",
        o(lr_scheduler="cosine_with_min_lr", lr_scheduler_min_lr_ratio=0.1,
             lr_scheduler_args=["min_lr=1e-6"]),
        o(lr_scheduler="cosine_with_min_lr", lr_scheduler_args=["min_lr=1e-6"]),
    ),
    (
        "scheduler-argument-value",
        o("lr_warmup_steps", lr_scheduler_type="StepLR", lr_scheduler_args=["step_size=10,"]),
        o("lr_warmup_steps", lr_scheduler_type="StepLR", lr_scheduler_args=["step_size=10"]),
    ),
]  # fmt: skip

# More of each kind, and a word that must be in the finding.
MORE_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("optimizer-unknown", o(optimizer_type="CAME"), "pytorch_optimizer.CAME"),
    ("optimizer-unknown", o(optimizer_type="AdEMAMix8bit"), "bitsandbytes.optim.AdEMAMix8bit"),
    ("optimizer-unknown", o(optimizer_type="torch.optim.Adamw"), "torch.optim.AdamW"),
    ("optimizer-unknown", o(optimizer_type="dadaptation.DAdaptAdam"), "DAdaptAdam"),
    ("optimizer-unknown", o(optimizer_type="ProdigyPlusScheduleFree"), "prodigyplus.ProdigyPlusScheduleFree"),
    ("optimizer-unknown", {**o(optimizer_type="Muon"), "machine": NO_CLASS}, "Muon"),
    ("optimizer-unusable", o(optimizer_type="LBFGS"), "closure"),
    ("optimizer-argument-unknown", o(optimizer_args=["weigth_decay=0.1"]), "weight_decay=0.1"),
    ("optimizer-argument-unknown", o(optimizer_args=["weight_decay = 0.1"]), "weight_decay=0.1"),
    ("optimizer-argument-unknown", o(optimizer_args=["decouple=True"]), "Prodigy"),
    ("optimizer-argument-unknown", o(**PRODIGY, optimizer_args=["d_coeff=0.8"]), "d_coef=0.8"),
    ("optimizer-argument-unknown", o(optimizer_type="Lion", optimizer_args=["eps=1e-8"]), "eps"),
    ("optimizer-argument-twice", o(optimizer_type="SGDNesterov", optimizer_args=["nesterov=True"]),
         "nesterov"),
    ("optimizer-args-form", o(optimizer_args=["weight_decay=0.1 eps=1e-6"]),
         "2 words: weight_decay=0.1 eps=1e-6"),
    ("optimizer-args-form", o(optimizer_args=["weight_decay"]), "one word"),
    ("optimizer-args-form", o(optimizer_args=["amsgrad=true"]), "amsgrad=True"),
    ("optimizer-args-form", o(optimizer_args=["betas=(0.9,", "0.99)"]), "betas=0.9,0.99"),
    ("optimizer-argument-value", o(optimizer_args=["betas=0.9"]), "2 numbers"),
    ("optimizer-argument-value", o(optimizer_args=["betas=0.9,"]), "2 numbers"),
    ("optimizer-argument-value", o(optimizer_args=["weight_decay=0,1"]), "weight_decay=0.1"),
    ("optimizer-argument-value", o(optimizer_args=["weight_decay='0.1'"]), "weight_decay=0.1"),
    ("optimizer-argument-value", o(optimizer_args=["weight_decay=None"]), "a number"),
    ("optimizer-argument-value", o(**PRODIGY, optimizer_args=["decouple='False'"]), "decouple=False"),
    ("optimizer-argument-range", o(optimizer_args=["weight_decay=-0.1"]), "at least 0"),
    ("optimizer-argument-range", o(optimizer_type="AdamW", optimizer_args=["eps=-1e-8"]), "eps"),
    ("optimizer-argument-missing", o(optimizer_type="bitsandbytes.optim.SGD8bit"), "momentum=0.9"),
    ("optimizer-argument-missing", o(optimizer_type="pytorch_optimizer.Ranger21"), "num_iterations"),
    ("learning-rate-refused", o(optimizer_type="AdamW", learning_rate=-1.0), "learning_rate"),
    ("adaptive-rates-several", o(**PRODIGY, network_args=["loraplus_unet_lr_ratio=16"]),
         "loraplus_unet_lr_ratio"),
    ("adaptive-rates-several", o(**PRODIGY, network_args=["loraplus_lr_ratio=4"]), "network_args"),
    ("adaptive-rates-several", o(**PRODIGY, network_args=["down_lr_weight=1,1,1,1,0.5,1,1,1,1"]),
         "down_lr_weight"),
    ("adaptive-rates-several", o(**PRODIGY, network_args=["up_lr_weight=cosine"]), "up_lr_weight"),
    ("steps-share-beyond", o(lr_scheduler="warmup_stable_decay", lr_decay_steps=200.0),
         "lr_decay_steps = 200"),
    ("steps-share-beyond", o(lr_warmup_steps=1.5), "below 1"),
    ("warmup-beyond", o(lr_warmup_steps=1.0), "1"),
    ("scheduler-unknown", o("lr_warmup_steps", lr_scheduler_type="CosineAnealingLR"), "CosineAnnealingLR"),
    ("scheduler-unknown", o("lr_warmup_steps", lr_scheduler_type="cosine"), "lr_scheduler = cosine"),
    ("scheduler-unknown", o(lr_scheduler="CosineAnnealingLR"), "lr_scheduler_type = CosineAnnealingLR"),
    ("scheduler-unusable", o("lr_warmup_steps", lr_scheduler_type="ReduceLROnPlateau"), "ReduceLROnPlateau"),
    ("scheduler-unusable", o("lr_warmup_steps", lr_scheduler_type="LambdaLR"), "LambdaLR"),
    ("scheduler-argument-missing", o("lr_warmup_steps", lr_scheduler_type="CosineAnnealingLR"), "T_max"),
    ("scheduler-argument-missing", o("lr_warmup_steps", lr_scheduler_type="OneCycleLR",
                                     lr_scheduler_args=["max_lr=1e-4"]), "total_steps"),
    ("scheduler-argument-unknown", o(lr_scheduler="constant_with_warmup", lr_scheduler_args=["num_cycles=2"]),
     "num_cycles"),
    ("scheduler-argument-twice", o(lr_scheduler="cosine_with_restarts", lr_scheduler_args=["num_cycles=2"]),
     "lr_scheduler_num_cycles"),
    ("scheduler-argument-twice", o(lr_scheduler="cosine_with_min_lr", lr_scheduler_args=["min_lr_rate=0.1"]),
     "lr_scheduler_min_lr_ratio"),
    ("scheduler-argument-value", o(lr_scheduler="polynomial", lr_scheduler_args=["lr_end='1e-7'"]),
         "lr_end=1e-7"),
]  # fmt: skip

SOUND: list[dict[str, Any]] = [
    o(),
    o(optimizer_type="AdamW", optimizer_args=["weight_decay=0.1", "betas=0.9,0.99"]),
    o(optimizer_type="AdamW", optimizer_args=["betas=(0.9, 0.99)", "eps=1e-8", "amsgrad=True"]),
    o(optimizer_type="adamw", optimizer_args=["betas=[0.9,0.999]", "weight_decay=0"]),
    o(optimizer_args=["weight_decay=.01", "betas=0.9,.95"]),
    o(**PRODIGY, optimizer_args=["decouple=True", "weight_decay=0.01", "d_coef=2", "use_bias_correction=True",
                                 "safeguard_warmup=True", "betas=0.9,0.99"]),
    o(**PRODIGY | {"text_encoder_lr": [0.0]}),
    o(**PRODIGY | {"text_encoder_lr": [1.0, 1.0]}),
    o(**PRODIGY, network_args=["loraplus_lr_ratio=1"]),
    o(**PRODIGY, network_args=["down_lr_weight=0,0,0,0,1,1,0,1,1"]),
    o(**PRODIGY, network_args=["down_lr_weight=1,0.5,1,0.2"]),  # blocks without modules
    o(**PRODIGY | {"text_encoder_lr": [0.5]}, network_train_unet_only=True),
    o(**PRODIGY | {"optimizer_type": "DAdaptAdan", "text_encoder_lr": [0.5]}),
    o(**PRODIGY | {"optimizer_type": "DAdaptAdaGrad", "text_encoder_lr": [0.5]}),
    o(**PRODIGY | {"optimizer_type": "DAdaptAdanIP", "text_encoder_lr": [0.5]}),
    o("lr_warmup_steps", **PRODIGY | {"optimizer_type": "prodigyplus.ProdigyPlusScheduleFree",
                                      "text_encoder_lr": [0.5]}),
    o("lr_warmup_steps", optimizer_type="prodigyplus.prodigy_plus_schedulefree.ProdigyPlusScheduleFree",
      optimizer_args=["use_stableadamw=True", "eps=None", "factored=False"], unet_lr=1.0,
      text_encoder_lr=[1.0]),
    o("lr_warmup_steps", optimizer_type="AdaFactor", optimizer_args=["relative_step=True",
         "warmup_init=True"]),
    o(lr_scheduler="constant_with_warmup", **ADAFACTOR | {"optimizer_args": [
        "scale_parameter=False", "relative_step=False", "warmup_init=False", "weight_decay=0.01"]}),
    o(optimizer_type="DAdaptation", unet_lr=1.0, text_encoder_lr=[1.0], optimizer_args=["decouple=True"]),
    o(optimizer_type="SGDNesterov", optimizer_args=["momentum=0.8"]),
    o(optimizer_type="lion_pytorch.Lion", optimizer_args=["betas=0.95,0.98", "weight_decay=0.1"]),
    o(optimizer_type="Adagrad"), o(optimizer_type="torch.optim.RAdam", optimizer_args=["foreach=False"]),
    o("lr_warmup_steps", optimizer_type="AdamWScheduleFree", optimizer_args=["warmup_steps=100", "r=0.5"]),
    o("lr_warmup_steps", optimizer_type="schedulefree.RAdamScheduleFree",
         optimizer_args=["silent_sgd_phase=False"]),
    o(optimizer_type="pytorch_optimizer.CAME", optimizer_args=["weight_decay=0.01"]),
    o(optimizer_type="pytorch_optimizer.optimizer.came.CAME", optimizer_args=["betas=0.9,0.999,0.9999"]),
    o(optimizer_type="mine.of_somebody.Optimizer", optimizer_args=["anything=1,2"]),
    o(lr_scheduler_args=["num_cycles=0.4"]), o(lr_scheduler_args=["last_epoch=-1"]),
    o(lr_scheduler="polynomial", lr_scheduler_power=2.0, lr_scheduler_args=["lr_end=1e-6"]),
    o(lr_scheduler="cosine_with_min_lr", lr_scheduler_args=["min_lr=1e-6"]),
    o(lr_scheduler="cosine_with_min_lr", lr_scheduler_min_lr_ratio=0.1),
    o(lr_scheduler="inverse_sqrt", lr_scheduler_timescale=100),
    o(lr_scheduler="warmup_stable_decay", lr_decay_steps=0.2, lr_scheduler_args=["decay_type='linear'"]),
    o(lr_scheduler="warmup_stable_decay", lr_decay_steps=200, lr_scheduler_min_lr_ratio=0.1),
    o("lr_warmup_steps", lr_scheduler="piecewise_constant", lr_scheduler_args=["step_rules='1:10,0.1'"]),
    o("lr_warmup_steps", lr_scheduler_type="CosineAnnealingLR", lr_scheduler_args=["T_max=100",
         "eta_min=1e-6"]),
    o("lr_warmup_steps", lr_scheduler_type="torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
      lr_scheduler_args=["T_0=100", "T_mult=2"]),
    o("lr_warmup_steps", lr_scheduler_type="OneCycleLR", lr_scheduler_args=["max_lr=1e-4",
         "total_steps=1000"]),
    o("lr_warmup_steps", lr_scheduler_type="MultiStepLR", lr_scheduler_args=["milestones=[100,200]",
         "gamma=0.5"]),
    o("lr_warmup_steps", lr_scheduler_type="LinearLR"),
]  # fmt: skip
