"""Commands that people really use: a plan's, a guide's, a quick reference's. None trains as meant."""

PLAN = (
    "accelerate launch --num_cpu_threads_per_process=8 ./sdxl_train_network.py "
    '--pretrained_model_name_or_path="checkpoints/sd_xl_base_1.0.safetensors" '
    '--train_data_dir="data/cluster_4/" --output_dir="./output" --logging_dir="./logs" '
    '--vae="checkpoints/sdxl_vae.safetensors" --max_token_length=225 --shuffle_caption --keep_tokens=0 '
    '--optimizer_type="AdamW8bit" --learning_rate=1e-4 --unet_lr=1e-4 --text_encoder_lr=5e-5 '
    '--lr_scheduler="cosine_with_restarts" --lr_scheduler_num_cycles=3 --lr_warmup_steps=500 '
    '--network_module="networks.lora" --network_dim=128 --network_alpha=64 --train_batch_size=2 '
    "--max_train_epochs=10 --save_every_n_epochs=1 --sample_every_n_steps=200 "
    '--sample_prompts="./prompts.txt" --mixed_precision="bf16" --gradient_checkpointing '
    "--cache_text_encoder_outputs --fp8_base --xformers --min_snr_gamma=5 --noise_offset=0.05 "
    '--v_parameterization --save_model_as="safetensors" --seed=42 --log_with="tensorboard"'
)
GUIDE = (
    "accelerate launch --num_cpu_threads_per_process 1 sdxl_train_network.py "
    '--pretrained_model_name_or_path="model.safetensors" --dataset_config="my_sdxl_dataset_config.toml" '
    '--output_dir="out" --output_name="my_sdxl_lora" --save_model_as=safetensors '
    "--network_module=networks.lora --network_dim=32 --network_alpha=16 --learning_rate=1e-4 "
    "--unet_lr=1e-4 --text_encoder_lr1=1e-5 --text_encoder_lr2=1e-5 "
    '--optimizer_type="AdamW8bit" --lr_scheduler="constant" --max_train_epochs=10 '
    '--save_every_n_epochs=1 --mixed_precision="bf16" --gradient_checkpointing '
    "--cache_text_encoder_outputs --cache_latents"
)
QUICK = (
    "accelerate launch train_network.py --pretrained_model_name_or_path=sdxl.safetensors "
    "--train_data_dir=data --caption_extension=.txt --resolution=1024,1024 --train_batch_size=4 "
    "--max_train_epochs=12 --learning_rate=3e-4 --unet_lr=3e-4 --text_encoder_lr=2e-4 "
    "--lr_scheduler=cosine_with_restarts --lr_scheduler_num_cycles=3 --network_module=networks.lora "
    "--network_dim=64 --network_alpha=32 --optimizer_type=AdamW8bit --mixed_precision=bf16 --xformers "
    "--gradient_checkpointing --gradient_accumulation_steps=2 --max_token_length=225 --clip_skip=2 "
    "--cache_latents_to_disk --bucket_no_upscale --bucket_reso_steps=64 --output_dir=out --output_name=a "
    "--save_precision=bf16 --save_every_n_epochs=1 --save_state --seed=1 --logging_dir=logs"
)
